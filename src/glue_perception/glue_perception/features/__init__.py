"""Per-pixel feature encoders behind one interface."""
