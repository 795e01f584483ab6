"""Episodes to training data."""
