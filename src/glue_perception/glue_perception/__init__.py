"""Cameras, text-guided keypoint extraction and key-patch tracking."""
