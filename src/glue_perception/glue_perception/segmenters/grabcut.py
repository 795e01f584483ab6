"""The embedded profile's segmenter: GrabCut (Rother et al. 2004) inside each box. No weights."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from glue_perception.color import lab_from_rgb
from glue_perception.errors import QueryError
from glue_perception.types import Detection

_ITERATIONS = 4
_MAX_SIDE_PX = 240
"""GrabCut costs some 20 us per pixel; larger crops are shrunk to this side."""
_SMALL_SIDE_PX, _ENLARGED_SIDE_PX = 48, 96
"""Five Gaussians a side cannot be fitted to the 200 pixels of a small button's box: such crops are enlarged."""
_LEAST_SHARE = 0.2
"""Of its box that an object fills; a cut that leaves less has taken the object's main colour for background."""
_CORE_SHARE = 0.4
_LEAST_CONTRAST = 12.0
"""In CIELAB, between the middle of a box and what lies around it; grain of wood is 5, a red cap on it 40."""


class GrabCutSegmenter:
    """Separates the colours inside a box from those around it. Stateless and deterministic."""

    def segment(
        self, rgb: UInt8[np.ndarray, "height width 3"], detections: Sequence[Detection]
    ) -> Bool[np.ndarray, "objects height width"]:
        """Return one connected mask per detection, inside its box.

        Raises:
            QueryError: there are no detections, or nothing inside a box differs from its surroundings.
        """
        if not detections:
            raise QueryError(
                "there are no detections to segment; run the detector on at least one query first"
            )
        return np.stack([self._segment_one(rgb, detection) for detection in detections])

    def _segment_one(
        self, rgb: UInt8[np.ndarray, "height width 3"], detection: Detection
    ) -> Bool[np.ndarray, "height width"]:
        height, width = rgb.shape[:2]
        x0, y0 = (max(0, int(v)) for v in np.floor(detection.box_xyxy_px[:2]))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(detection.box_xyxy_px[2:]), [width, height]))
        if x1 <= x0 or y1 <= y0:
            raise QueryError(
                f"query {detection.query!r}: its box {detection.box_xyxy_px.tolist()} lies outside the image"
            )
        # Half a box around it shows GrabCut what the background is.
        pad = max(8, (x1 - x0) // 2, (y1 - y0) // 2)
        left, top, right, bottom = (
            max(0, x0 - pad),
            max(0, y0 - pad),
            min(width, x1 + pad),
            min(height, y1 + pad),
        )
        crop = rgb[top:bottom, left:right]
        inner = np.zeros(crop.shape[:2], bool)
        inner[y0 - top : y1 - top, x0 - left : x1 - left] = True
        mask = np.zeros((height, width), bool)
        mask[top:bottom, left:right] = self._cut(crop, inner) & inner
        if not mask.any():
            raise QueryError(
                f"query {detection.query!r}: nothing inside its box {detection.box_xyxy_px.tolist()} stands out from "
                "the surroundings; give a tighter box or better light"
            )
        return mask

    def _cut(
        self, crop: UInt8[np.ndarray, "rows cols 3"], inner: Bool[np.ndarray, "rows cols"]
    ) -> Bool[np.ndarray, "rows cols"]:
        rows, cols = inner.shape
        if inner.all():
            # The box is the whole image: there is no background to compare with.
            return inner
        scale = min(1.0, _MAX_SIDE_PX / max(rows, cols))
        if max(rows, cols) < _SMALL_SIDE_PX:
            scale = _ENLARGED_SIDE_PX / max(rows, cols)
        size = (max(8, round(cols * scale)), max(8, round(rows * scale)))
        resized = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale <= 1 else cv2.INTER_CUBIC)
        probable = cv2.resize(inner.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        labels = np.where(probable, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
        object_ = _grab(resized, labels)
        if np.count_nonzero(object_) < _LEAST_SHARE * np.count_nonzero(probable):
            # What lies around it has its colours too. A detector's box has its object in the middle, if it has one.
            core = _core(probable)
            if _contrast(resized, core, ~probable) < _LEAST_CONTRAST:
                return np.zeros((rows, cols), bool)
            labels[core] = cv2.GC_FGD
            object_ = _grab(resized, labels)
        return _largest_component(cv2.resize(object_, (cols, rows), interpolation=cv2.INTER_NEAREST))


def _grab(
    rgb: UInt8[np.ndarray, "rows cols 3"], labels: UInt8[np.ndarray, "rows cols"]
) -> UInt8[np.ndarray, "rows cols"]:
    """Return 1 where GrabCut sees the object."""
    found = labels.copy()
    model: Float[np.ndarray, "1 65"] = np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(rgb, found, None, model, model.copy(), _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.isin(found, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _core(box: Bool[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "rows cols"]:
    """Return the ellipse in the middle of a box, of `_CORE_SHARE` of its sides."""
    row, col = np.nonzero(box)
    y, x = np.ogrid[: box.shape[0], : box.shape[1]]
    down = (y - (row.min() + row.max()) / 2) / max(1.0, _CORE_SHARE * (np.ptp(row) + 1) / 2)
    right = (x - (col.min() + col.max()) / 2) / max(1.0, _CORE_SHARE * (np.ptp(col) + 1) / 2)
    inside: np.ndarray = down**2 + right**2 <= 1.0
    return inside


def _contrast(
    rgb: UInt8[np.ndarray, "rows cols 3"],
    inside: Bool[np.ndarray, "rows cols"],
    outside: Bool[np.ndarray, "rows cols"],
) -> float:
    """Return the distance of two regions' median colours in CIELAB."""
    lab = lab_from_rgb(rgb)
    return float(np.linalg.norm(np.median(lab[inside], axis=0) - np.median(lab[outside], axis=0)))


def _largest_component(mask: UInt8[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "rows cols"]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return np.zeros(mask.shape, bool)
    chosen: np.ndarray = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return chosen
