"""What the networks of detectors, segmenters and features share: device, number format, loading."""
