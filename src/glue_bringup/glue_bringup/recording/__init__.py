"""Episodes to bags."""
