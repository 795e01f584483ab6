"""Boxes given by hand: the way out when no detector understands a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from glue_perception.config import suggest
from glue_perception.errors import ConfigError, QueryError
from glue_perception.types import Detection


class GivenBoxDetector:
    """Answers every query with the box that was given for it. Stateless and deterministic.

    Args:
        boxes_xyxy_px: Query -> left, top, right, bottom; right and bottom exclusive.

    Raises:
        ConfigError: no boxes, or an empty one.
    """

    def __init__(self, boxes_xyxy_px: Mapping[str, Sequence[float]]) -> None:
        if not boxes_xyxy_px:
            raise ConfigError(
                "detector 'given' needs given_boxes: a mapping of query to [left, top, right, bottom]"
            )
        for query, box in boxes_xyxy_px.items():
            if len(box) != 4 or not np.all(np.isfinite(box)) or box[2] <= box[0] or box[3] <= box[1]:
                raise ConfigError(
                    f"given box of {query!r} must be [left, top, right, bottom] with right > left and bottom > top, "
                    f"not {list(box)}"
                )
        self._boxes = {query: np.asarray(box, float) for query, box in boxes_xyxy_px.items()}

    def detect(self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]) -> list[Detection]:
        """Return the given boxes, cut to the image, with score 1.

        Raises:
            QueryError: no queries, a query without a box, or a box outside the image.
        """
        if not queries:
            raise QueryError("there are no queries; give at least one that has a given box")
        return [self._detection(rgb.shape[1], rgb.shape[0], query) for query in queries]

    def _detection(self, width_px: int, height_px: int, query: str) -> Detection:
        if query not in self._boxes:
            raise QueryError(f"query {query!r} has no given box.{suggest(query, self._boxes)}")
        box = np.clip(self._boxes[query], 0, [width_px, height_px, width_px, height_px])
        if box[2] - box[0] < 1 or box[3] - box[1] < 1:
            raise QueryError(
                f"query {query!r}: its given box {self._boxes[query].tolist()} lies outside the image of "
                f"{width_px} x {height_px} px"
            )
        return Detection(query, box, 1.0)
