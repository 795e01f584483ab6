"""Which candidate a query means, and when to refuse instead of guessing. The same for every detector.

The paper takes the detector's answer as it comes (III-B 1). A wrong object costs an episode, and on a robot more than
that, so here every doubt is a refusal that says what was found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from glue_perception.detectors.base import ScoreLimits
from glue_perception.errors import ConfigError
from glue_perception.preflight import PreflightWarning, Refusal, RefusalReason
from glue_perception.types import Detection

Hint = Callable[[RefusalReason], str]

_ARTICLES = frozenset({"a", "an", "the"})
_NESTED_SHARE = 0.9
"""A box of which this share lies inside another is part of it, not a rival."""


@dataclass(frozen=True)
class ObjectChoiceConfig:
    """Limits of the choice. The `choice` section of the perception configuration.

    Shares are of the image, so that they hold for every resolution. Two limits are the detector's own where they are
    not given, since scores of different detectors do not compare (`Detector.score_limits`).

    Attributes:
        min_score: Refuse if the best candidate scores less; None: the detector's own limit.
        ambiguity_ratio: Refuse if another object scores at least this share of the best; None: the detector's own.
        same_object_iou: Two boxes for one query that overlap at least so much are one object found twice.
        max_box_share: A larger box is background; half of the image leaves nothing to tell an object from.
        min_mask_share: A smaller mask is refused; 5e-5 is 15 px at 640 x 480, a pixel per keypoint (Table III).
        min_mask_box_share: A mask that covers less of its box is a speck; a pen at 45 degrees covers 0.14.
        max_query_box_iou: Boxes of two queries that overlap at least so much are one object.
        max_query_mask_iou: The same for masks. One inside the other is legitimate: a mango on a plate.
        cut_off_share: Warn if the image's border cuts the mask along more than this share of its size (the root of
            its area): part of the object is out of view.

    Raises:
        ConfigError: a number out of range.
    """

    min_score: float | None = None
    ambiguity_ratio: float | None = None
    same_object_iou: float = 0.5
    max_box_share: float = 0.5
    min_mask_share: float = 5e-5
    min_mask_box_share: float = 0.05
    max_query_box_iou: float = 0.8
    max_query_mask_iou: float = 0.7
    cut_off_share: float = 0.5

    def __post_init__(self) -> None:
        self.score_limits(ScoreLimits(0.0, 1.0))
        for name in ("same_object_iou", "max_box_share", "max_query_box_iou", "max_query_mask_iou"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1 but not at 0, not {getattr(self, name)}")
        for name in ("min_mask_share", "min_mask_box_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} must lie in 0..1 but not at 1, not {getattr(self, name)}")
        if self.cut_off_share <= 0.0:
            raise ConfigError(f"cut_off_share must be positive, not {self.cut_off_share}")

    def score_limits(self, detector: ScoreLimits) -> ScoreLimits:
        """Return the limits in force: those given here, and the detector's own for the rest."""
        return ScoreLimits(
            detector.min_score if self.min_score is None else self.min_score,
            detector.ambiguity_ratio if self.ambiguity_ratio is None else self.ambiguity_ratio,
        )


def refuse_queries(queries: Sequence[str]) -> list[Refusal]:
    """Return what is wrong with the texts alone: none at all, empty ones, one object asked for twice.

    Case, spaces, punctuation and articles make no difference: "red button" and "The red button" are one.
    """
    if not queries:
        message = "there are no queries; name at least one object, e.g. 'red button'"
        return [Refusal(RefusalReason.NO_QUERIES, message)]
    refusals = []
    first_of: dict[tuple[str, ...], int] = {}
    for index, query in enumerate(queries):
        words = tuple(word for word in re.findall(r"\w+", query.casefold()) if word not in _ARTICLES)
        if not words:
            message = f"query {query!r} is empty; name an object, e.g. 'red button'"
            refusals.append(Refusal(RefusalReason.EMPTY_QUERY, message, (index,)))
            continue
        first = first_of.setdefault(words, index)
        if first != index:
            message = (
                f"queries {queries[first]!r} and {query!r} ask for one object twice; ask once, or say what tells the "
                "two objects apart"
            )
            refusals.append(Refusal(RefusalReason.REPEATED_QUERY, message, (first, index)))
    return refusals


def choose(
    query_index: int,
    query: str,
    candidates: Sequence[Detection],
    image_area_px: int,
    config: ObjectChoiceConfig,
    limits: ScoreLimits,
    hint: Hint,
) -> Detection | Refusal:
    """Return the candidate that a query means, or why none can be named.

    Args:
        query_index: Its place among the queries.
        query: The text.
        candidates: The detector's, best first.
        image_area_px: Width times height.
        config: Limits.
        limits: Of the detector's scores, from `config.score_limits`.
        hint: The detector's remedy for a reason, or "".
    """

    def refuse(reason: RefusalReason, found: str, usual: str) -> Refusal:
        return Refusal(reason, f"query {query!r}{found}{hint(reason) or usual}", (query_index,))

    if not candidates:
        usual = (
            "nothing like it is in the image; check that it is in view and lit, or word the query differently"
        )
        return refuse(RefusalReason.ABSENT, ": ", usual)
    best = candidates[0]
    if best.score < limits.min_score:
        found = f": the best match, at {box_text(best)}, scores {best.score:.2f}, less than {limits.min_score:.2f}; "
        usual = "it may be absent: word the query differently, or give its box (detector: given)"
        return refuse(RefusalReason.LOW_SCORE, found, usual)
    alike = rivals_of(candidates, limits.ambiguity_ratio, config.same_object_iou)
    if alike is not None:
        one, other = (f"{box_text(c)} ({c.score:.2f})" for c in alike)
        found = f" is ambiguous: {one} and {other} look alike (left, top, right, bottom in px); "
        usual = "remove one, say what tells them apart, or give the box (detector: given)"
        return refuse(RefusalReason.AMBIGUOUS, found, usual)
    share = _box_area_px(best) / image_area_px
    if share > config.max_box_share:
        message = (
            f"query {query!r}: its box {box_text(best)} covers {share:.0%} of the image, more than max_box_share "
            f"{config.max_box_share:.0%}; move the camera back, or raise the limit"
        )
        return Refusal(RefusalReason.TOO_LARGE, message, (query_index,))
    return best


def rivals_of(
    candidates: Sequence[Detection], ambiguity_ratio: float, same_object_iou: float
) -> tuple[Detection, Detection] | None:
    """Return the best two candidates that are different objects and both nearly as good as the best, or None.

    Two boxes that overlap much, or one inside the other, are one object: a towel and its corner. Two apart from
    each other inside a third are two objects, even where the box around both scores best.
    """
    strong = [c for c in candidates if c.score >= ambiguity_ratio * candidates[0].score]
    for one, other in combinations(strong, 2):
        if iou_of_boxes(one, other) < same_object_iou and _nested_share(one, other) < _NESTED_SHARE:
            return one, other
    return None


def refuse_same_boxes(
    chosen: Sequence[Detection | None], config: ObjectChoiceConfig, hint: Callable[[str], str]
) -> list[Refusal]:
    """Return a refusal for every two queries that chose one box.

    Args:
        chosen: One per query; None where nothing was chosen.
        config: Limits.
        hint: The detector's remedy for a query, or "".
    """
    refusals = []
    for i, j in combinations(range(len(chosen)), 2):
        one, other = chosen[i], chosen[j]
        if one is None or other is None or iou_of_boxes(one, other) < config.max_query_box_iou:
            continue
        usual = "say what tells them apart, or give the boxes (detector: given)"
        message = (
            f"queries {one.query!r} and {other.query!r} both chose the object at {box_text(one)}; "
            f"{hint(other.query) or usual}"
        )
        refusals.append(Refusal(RefusalReason.SAME_OBJECT, message, (i, j)))
    return refusals


def refuse_same_masks(
    queries: Sequence[str],
    masks: Sequence[Bool[np.ndarray, "height width"] | None],
    config: ObjectChoiceConfig,
) -> list[Refusal]:
    """Return a refusal for every two queries whose masks coincide, though their boxes may not."""
    refusals = []
    for i, j in combinations(range(len(masks)), 2):
        one, other = masks[i], masks[j]
        if one is None or other is None or not (one & other).any():
            continue
        iou = float((one & other).sum() / (one | other).sum())
        if iou >= config.max_query_mask_iou:
            message = (
                f"queries {queries[i]!r} and {queries[j]!r} have the same pixels (overlap {iou:.0%}): they are one "
                "object; say what tells them apart, or give tighter boxes (detector: given)"
            )
            refusals.append(Refusal(RefusalReason.SAME_OBJECT, message, (i, j)))
    return refusals


def refuse_mask(
    query_index: int,
    detection: Detection,
    mask: Bool[np.ndarray, "height width"],
    config: ObjectChoiceConfig,
) -> Refusal | None:
    """Return why a mask cannot be the object of its box, or None."""
    area_px, query = int(mask.sum()), detection.query
    if area_px == 0:
        message = f"query {query!r}: the mask in its box {box_text(detection)} is empty; give a tighter box"
        return Refusal(RefusalReason.NO_MASK, message, (query_index,))
    if area_px < config.min_mask_share * mask.size:
        message = (
            f"query {query!r}: its mask has {area_px} px, less than min_mask_share {config.min_mask_share:g} of the "
            f"image ({config.min_mask_share * mask.size:.0f} px); move the camera closer or use a higher resolution"
        )
        return Refusal(RefusalReason.TOO_SMALL, message, (query_index,))
    share = area_px / _box_area_px(detection)
    if share < config.min_mask_box_share:
        message = (
            f"query {query!r}: its mask covers {share:.1%} of its box {box_text(detection)}, less than "
            f"min_mask_box_share {config.min_mask_box_share:.0%}; give a tighter box (detector: given)"
        )
        return Refusal(RefusalReason.POOR_MASK, message, (query_index,))
    return None


def warn_of_mask(
    query_index: int, query: str, mask: Bool[np.ndarray, "height width"], config: ObjectChoiceConfig
) -> PreflightWarning | None:
    """Return a warning if the image's border cuts the object off, or None."""
    sides = {"left": mask[:, 0], "right": mask[:, -1], "top": mask[0], "bottom": mask[-1]}
    side, cut_px = max(((name, int(line.sum())) for name, line in sides.items()), key=lambda pair: pair[1])
    if cut_px <= config.cut_off_share * np.sqrt(mask.sum()):
        return None
    message = (
        f"query {query!r}: the {side} border of the image cuts the object off along {cut_px} px; keypoints lie on "
        "the visible part only: turn the camera to see all of it"
    )
    return PreflightWarning(message, query_index)


def iou_of_boxes(one: Detection, other: Detection) -> float:
    """Return the intersection of two boxes over their union, 0..1."""
    both = _common_area_px(one, other)
    return both / (_box_area_px(one) + _box_area_px(other) - both)


def box_text(detection: Detection) -> str:
    """Return a box as people read it: [left, top, right, bottom] in whole pixels."""
    return str([round(float(v)) for v in detection.box_xyxy_px])


def _nested_share(one: Detection, other: Detection) -> float:
    return _common_area_px(one, other) / min(_box_area_px(one), _box_area_px(other))


def _common_area_px(one: Detection, other: Detection) -> float:
    low = np.maximum(one.box_xyxy_px[:2], other.box_xyxy_px[:2])
    high = np.minimum(one.box_xyxy_px[2:], other.box_xyxy_px[2:])
    return float(np.prod(np.maximum(high - low, 0.0)))


def _box_area_px(detection: Detection) -> float:
    return float(np.prod(detection.box_xyxy_px[2:] - detection.box_xyxy_px[:2]))
