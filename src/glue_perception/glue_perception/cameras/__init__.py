"""Camera drivers behind one interface."""
