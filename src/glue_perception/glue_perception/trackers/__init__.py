"""Point trackers behind one per-frame interface."""
