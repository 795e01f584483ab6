"""Pretrained weights: what they are (manifest), where they lie (store), how they get there (fetch)."""
