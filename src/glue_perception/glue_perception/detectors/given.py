"""Boxes given by hand: the way out when no detector understands a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from glue_perception.config import suggest
from glue_perception.detectors.base import ScoreLimits
from glue_perception.errors import ConfigError, QueryError
from glue_perception.preflight import RefusalReason
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

    score_limits = ScoreLimits(min_score=0.0, ambiguity_ratio=1.0)
    """Each query has one box of score 1: never weak, never ambiguous."""

    def propose(
        self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]
    ) -> list[list[Detection]]:
        """Return the given boxes, cut to the image, with score 1; none for a box outside the image.

        Raises:
            QueryError: no queries, or a query without a box.
        """
        if not queries:
            raise QueryError("there are no queries; give at least one that has a given box")
        for query in queries:
            if query not in self._boxes:
                raise QueryError(f"query {query!r} has no given box.{suggest(query, self._boxes)}")
        return [self._inside(rgb.shape[1], rgb.shape[0], query) for query in queries]

    def hint(self, reason: RefusalReason, rgb: UInt8[np.ndarray, "height width 3"], query: str) -> str:
        """Return which of the given boxes is wrong; see `Detector.hint`."""
        if reason is RefusalReason.ABSENT:
            return (
                f"its given box {self._boxes[query].tolist()} lies outside the image of {rgb.shape[1]} x "
                f"{rgb.shape[0]} px"
            )
        return "correct given_boxes"

    def _inside(self, width_px: int, height_px: int, query: str) -> list[Detection]:
        box = np.clip(self._boxes[query], 0, [width_px, height_px, width_px, height_px])
        if box[2] - box[0] < 1 or box[3] - box[1] < 1:
            return []
        return [Detection(query, box, 1.0)]
