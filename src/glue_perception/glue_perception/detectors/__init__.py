"""Text-guided object detectors behind one interface."""
