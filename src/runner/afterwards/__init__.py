"""What one does with a finished run: look into it, score it again, keep it, use its model."""
