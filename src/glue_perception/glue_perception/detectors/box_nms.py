"""Greedy non-maximum suppression: of boxes that cover each other, the best stays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def overlap(box: Float[np.ndarray, "4"], boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n"]:
    """Return intersection over union of one box (left, top, right, bottom) with others; 0 for empty ones."""
    size = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(size, 0.0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    ratio: np.ndarray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def suppress_non_maxima(
    boxes_xyxy_px: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, "n"], max_overlap: float
) -> Int[np.ndarray, "kept"]:
    """Return the indices of the boxes that stay, best first; of equal scores the earlier box comes first.

    Args:
        boxes_xyxy_px: Left, top, right, bottom.
        scores: Higher is better.
        max_overlap: A box goes if a better one covers it by more than this (intersection over union).
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = rest[overlap(boxes_xyxy_px[best], boxes_xyxy_px[rest]) <= max_overlap]
    return np.array(kept, np.int64)
