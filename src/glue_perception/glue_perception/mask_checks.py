"""Whether a mask can be the object that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from glue_perception.object_choice import ObjectChoiceConfig, box_area_px, box_text
from glue_perception.preflight import PreflightWarning, Refusal, RefusalReason
from glue_perception.types import Detection


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
    share = area_px / box_area_px(detection)
    if share < config.min_mask_box_share:
        message = (
            f"query {query!r}: its mask covers {share:.1%} of its box {box_text(detection)}, less than "
            f"min_mask_box_share {config.min_mask_box_share:.0%}; give a tighter box (detector: given)"
        )
        return Refusal(RefusalReason.POOR_MASK, message, (query_index,))
    if area_px < config.min_mask_share * mask.size:
        message = (
            f"query {query!r}: its mask has {area_px} px, less than min_mask_share {config.min_mask_share:g} of the "
            f"image ({config.min_mask_share * mask.size:.0f} px); move the camera closer or use a higher resolution"
        )
        return Refusal(RefusalReason.TOO_SMALL, message, (query_index,))
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
        f"query {query!r}: the image's {side} border cuts it off along {cut_px} px, and keypoints lie only on "
        "what is in view; turn the camera"
    )
    return PreflightWarning(message, query_index)


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
