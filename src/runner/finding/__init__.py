"""Looking for a learning rate, and for the largest batch that fits, before a run."""
