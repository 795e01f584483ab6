"""What is known before an episode is spent: what was found for every query, and what was refused and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool

from glue_perception.types import Detection, Keypoints


class RefusalReason(StrEnum):
    """Why a query, or the whole list of queries, is refused. The values stand in reports.

    NO_QUERIES: the list is empty. EMPTY_QUERY: a text without a word. REPEATED_QUERY: one object is asked for
    twice. NOT_UNDERSTOOD: the detector cannot read the text. ABSENT: the detector found no candidate. LOW_SCORE: the
    best one is below `min_score`. AMBIGUOUS: another one is nearly as good. TOO_LARGE, TOO_SMALL: the object's
    share of the image. SAME_OBJECT: two queries chose one object. NO_MASK: the segmenter found nothing in the box.
    POOR_MASK: the mask is a speck in its box. TOO_FEW_PIXELS: fewer pixels than keypoints.
    """

    NO_QUERIES = "no_queries"
    EMPTY_QUERY = "empty_query"
    REPEATED_QUERY = "repeated_query"
    NOT_UNDERSTOOD = "not_understood"
    ABSENT = "absent"
    LOW_SCORE = "low_score"
    AMBIGUOUS = "ambiguous"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    SAME_OBJECT = "same_object"
    NO_MASK = "no_mask"
    POOR_MASK = "poor_mask"
    TOO_FEW_PIXELS = "too_few_pixels"


@dataclass(frozen=True)
class Refusal:
    """One reason not to start.

    Attributes:
        reason: For programs.
        message: For people: what was found and what to do, in one line.
        query_indices: Which queries it is about; empty for the list as a whole.
    """

    reason: RefusalReason
    message: str
    query_indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class PreflightWarning:
    """Something to look at that does not prevent a start.

    Attributes:
        message: What was found and what may follow, in one line.
        query_index: Which query it is about.
    """

    message: str
    query_index: int


@dataclass(frozen=True, eq=False)
class ObjectFinding:
    """All that was found for one query.

    Attributes:
        query: The text.
        candidates: The detector's, best first, possibly none.
        chosen: One of the candidates, or None. A chosen object may still be refused, e.g. for its mask.
        mask: Of the chosen one, or None where there was nothing to segment.
    """

    query: str
    candidates: tuple[Detection, ...] = ()
    chosen: Detection | None = None
    mask: Bool[np.ndarray, "height width"] | None = None

    @property
    def rivals(self) -> tuple[Detection, ...]:
        """The candidates that were not chosen, best first."""
        return tuple(c for c in self.candidates if c is not self.chosen)

    @property
    def mask_area_px(self) -> int:
        """Pixels of the mask; 0 without one."""
        return 0 if self.mask is None else int(self.mask.sum())

    @property
    def mask_image_share(self) -> float:
        """Share of the image that the mask covers, 0..1."""
        return 0.0 if self.mask is None else self.mask_area_px / self.mask.size

    @property
    def mask_box_share(self) -> float:
        """Share of the chosen box that the mask covers, 0..1."""
        if self.chosen is None:
            return 0.0
        x0, y0, x1, y1 = self.chosen.box_xyxy_px
        return min(1.0, self.mask_area_px / float((x1 - x0) * (y1 - y0)))


@dataclass(frozen=True, eq=False)
class Preflight:
    """What perception makes of a first frame, whether or not an episode may start with it.

    Attributes:
        objects: One per query, in their order.
        refusals: Why no episode may start; empty if one may. The first is what a start raises.
        warnings: What to look at.
        keypoints: All objects' points; None if anything was refused.
    """

    objects: tuple[ObjectFinding, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[PreflightWarning, ...] = ()
    keypoints: Keypoints | None = None

    @property
    def ok(self) -> bool:
        """Whether an episode may start."""
        return not self.refusals

    def num_keypoints_of(self, query_index: int) -> int:
        """Return how many keypoints lie on a query's object; 0 if anything was refused."""
        return 0 if self.keypoints is None else int(np.sum(self.keypoints.query_index == query_index))
