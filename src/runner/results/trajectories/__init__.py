"""What recorded weights show: numbers as CSV, pictures, and the loss between two sets of weights."""
