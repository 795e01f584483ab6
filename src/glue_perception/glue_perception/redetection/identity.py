"""Is what was found the thing that was lost? And which of its new points is which of the old ones?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.color import lab_from_rgb
from glue_perception.keypoint_extractor import ObjectPoints
from glue_perception.redetection.config import RedetectionConfig

_BINS = 20
_RANGE_AB = 100.0
_BLUR_BINS = 1.0
"""Of 10 units in a* and b*: what shade and white balance move a colour by must not make it another one."""

_MAX_FOREIGN_SHARE = 0.3
_MIN_OWN_SHARE = 0.5
_MIN_OWN = 3
_RIM_SHARE = 0.25
_MAX_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class ObjectLook:
    """An object in one frame: its points and what tells it from others.

    Attributes:
        points: See `ObjectPoints`.
        area_share: Of its mask in the image.
        chromaticity: Histogram over (a*, b*), adds up to 1.
    """

    points: ObjectPoints
    area_share: float
    chromaticity: Float[np.ndarray, "bins bins"]


def look_of(rgb: UInt8[np.ndarray, "height width 3"], points: ObjectPoints) -> ObjectLook:
    """Return what an object looks like in the frame in which its points were chosen."""
    mask = points.mask
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    lab = lab_from_rgb(rgb[part])[mask[part]]
    edges = np.linspace(-_RANGE_AB, _RANGE_AB, _BINS + 1)
    a, b = np.clip(lab[:, 1:], -_RANGE_AB, _RANGE_AB - 1e-3).T
    counts, _, _ = np.histogram2d(a, b, bins=(edges, edges))
    smooth = cv2.GaussianBlur(counts, (0, 0), _BLUR_BINS, borderType=cv2.BORDER_REPLICATE)
    return ObjectLook(points, float(mask.mean()), smooth / smooth.sum())


def refusal(
    then: ObjectLook,
    now: ObjectLook,
    config: RedetectionConfig,
    own_px: Float[np.ndarray, "k 2"],
    others_px: Mapping[str, Float[np.ndarray, "m 2"]],
) -> str | None:
    """Return why `now` is not taken for the object that `then` was, or None.

    Args:
        then: The object when the episode began.
        now: What its query finds now.
        config: Limits.
        own_px: Its points that are tracked in the frame of `now`.
        others_px: The tracked points of every other query there.
    """
    score_then, score_now = (look.points.detection.score for look in (then, now))
    if score_now < config.min_score_share * score_then:
        return f"the detector gives it {score_now:.2f} only; it was {score_then:.2f}"
    factor = now.area_share / then.area_share
    if not 1.0 / config.max_area_factor <= factor <= config.max_area_factor:
        return f"its area is {factor:.2f} times what it was"
    color = float(np.minimum(then.chromaticity, now.chromaticity).sum())
    if color < config.min_color_similarity:
        return f"its colours agree to {color:.2f} only"
    feature = _cosine(then.points.mean_feature, now.points.mean_feature)
    if feature < config.min_feature_similarity:
        return f"its features agree to {feature:.2f} only"
    mask = now.points.mask
    for query, xy_px in others_px.items():
        if len(xy_px) and _share_inside(mask, xy_px) > _MAX_FOREIGN_SHARE:
            return f"it lies on the tracked points of {query!r}"
    if len(own_px) >= _MIN_OWN and _share_inside(_widened(mask), own_px) < _MIN_OWN_SHARE:
        return "its other points are tracked elsewhere"
    return None


def overlap(a: Bool[np.ndarray, "height width"], b: Bool[np.ndarray, "height width"]) -> bool:
    """Return whether two masks show the same thing."""
    return bool((a & b).sum() > _MAX_OVERLAP * min(a.sum(), b.sum()))


def match(old: Float[np.ndarray, "n channels"], new: Float[np.ndarray, "n channels"]) -> Int[np.ndarray, "n"]:
    """Return for each old point the new one that takes its place.

    K-means numbers its clusters by chance, but key-patch k has to stay the same part of the object: its record, its
    colour in the picture and a policy that tells key-patches apart all go by the number. So points are paired by what
    the encoder says of them (appearance and, in the embedded profile, place within the object), the closest
    pair first. That is greedy, not optimal: among at most 20 points an optimal assignment differs in a few swaps of
    neighbours.
    """
    cost = np.sum((old[:, None].astype(float) - new[None].astype(float)) ** 2, axis=2)
    result = np.zeros(len(old), np.int64)
    free_old, free_new = np.ones(len(old), bool), np.ones(len(new), bool)
    for flat in np.argsort(cost, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(new))
        if free_old[i] and free_new[j]:
            result[i], free_old[i], free_new[j] = j, False, False
    return result


def _cosine(a: Float[np.ndarray, "channels"], b: Float[np.ndarray, "channels"]) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0


def _share_inside(mask: Bool[np.ndarray, "height width"], xy_px: Float[np.ndarray, "k 2"]) -> float:
    height, width = mask.shape
    col, row = np.clip(np.rint(xy_px), 0, [width - 1, height - 1]).astype(int).T
    return float(mask[row, col].mean())


def _widened(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Return the mask with a rim of a quarter of its size: a mask may miss an end of its object."""
    rim = max(3, round(_RIM_SHARE * np.sqrt(mask.sum())))
    widened: np.ndarray = cv2.dilate(mask.astype(np.uint8), np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)) > 0
    return widened
