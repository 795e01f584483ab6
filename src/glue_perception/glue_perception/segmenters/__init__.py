"""Box-prompted segmenters behind one interface."""
