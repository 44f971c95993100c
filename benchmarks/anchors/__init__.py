"""What the runner is compared with: each written as its users write it. Nothing of the runner is used here."""
