"""Point trackers against points labelled by hand in real video."""
