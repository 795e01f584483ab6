"""What SAM's callers share: the best of its three masks, without specks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from glue_perception.errors import QueryError
from glue_perception.types import Detection


def boxes_of(detections: Sequence[Detection]) -> Float[np.ndarray, "objects 4"]:
    """Return the boxes that prompt the network.

    Raises:
        QueryError: there are none.
    """
    if not detections:
        raise QueryError("there are no detections to segment; run the detector on at least one query first")
    return np.stack([detection.box_xyxy_px for detection in detections])


def best_mask(
    detection: Detection,
    masks: Bool[np.ndarray, "3 height width"],
    predicted_iou: Float[np.ndarray, "3"],
    min_part_share: float,
) -> Bool[np.ndarray, "height width"]:
    """Return the mask of the highest predicted IoU, without its small parts.

    Raises:
        QueryError: that mask is empty.
    """
    mask = without_specks(masks[int(np.argmax(predicted_iou))], min_part_share)
    if not mask.any():
        raise QueryError(
            f"query {detection.query!r}: SAM finds nothing in its box "
            f"{[round(float(v), 1) for v in detection.box_xyxy_px]}; give a tighter box or better light"
        )
    return mask


def without_specks(
    mask: Bool[np.ndarray, "height width"], min_part_share: float
) -> Bool[np.ndarray, "height width"]:
    """Return the mask without parts (8-connected) smaller than a share of the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    kept: np.ndarray = (areas > 0) & (areas >= min_part_share * areas.max())
    cleaned: np.ndarray = kept[labels]
    return cleaned
