"""What Grounding DINO makes of a query: its prompt, and its answer's boxes as candidates of that query."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from glue_perception.detectors.box_nms import suppress_non_maxima
from glue_perception.detectors.grounding_dino_config import GroundingDinoConfig
from glue_perception.errors import QueryError
from glue_perception.preflight import RefusalReason
from glue_perception.types import Detection

_MIN_SIDE_PX = 1.0


def prompt_of(query: str) -> str:
    """Return the text that the network was trained on: lower case, one phrase, closed by a dot.

    Dots and question marks inside a query would cut it into several phrases; they become blanks.

    Raises:
        QueryError: the query holds no letter or digit.
    """
    phrase = " ".join(re.sub(r"[.?!,;]", " ", query.lower()).split())
    if not re.search(r"[^\W_]", phrase):
        raise QueryError(f"query {query!r} is empty; name a thing, e.g. 'red button'")
    return f"{phrase}."


def word_positions(query: str, tokens: Sequence[str], max_tokens: int) -> Bool[np.ndarray, "tokens"]:
    """Return which tokens of a prompt are words of the query.

    Args:
        query: For messages.
        tokens: Of the prompt, as the tokenizer names them.
        max_tokens: More than these the network does not read.

    Raises:
        QueryError: the query is too long, or has signs that the network's vocabulary lacks.
    """
    if len(tokens) > max_tokens:
        raise QueryError(
            f"query {query!r} is too long: {len(tokens)} tokens, at most {max_tokens} are read; shorten it"
        )
    if "[UNK]" in tokens:
        raise QueryError(
            f"query {query!r} has signs that Grounding DINO does not know; it was trained on English, "
            "e.g. 'red button'"
        )
    return np.array([token not in ("[CLS]", "[SEP]", "[PAD]", ".") for token in tokens], bool)


def hint_of(reason: RefusalReason, config: GroundingDinoConfig) -> str:
    """Return what a refusal should say beyond the usual, or ""; see `Detector.hint`."""
    if reason is RefusalReason.ABSENT:
        return (
            f"Grounding DINO sees nothing like it above box_threshold {config.box_threshold:.2f}; check that it is "
            "in view and lit, or use the plain English name of the thing, e.g. 'red button'"
        )
    return ""


def candidates(
    query: str,
    word_scores: Float[np.ndarray, "boxes words"],
    boxes_cxcywh: Float[np.ndarray, "boxes 4"],
    width_px: int,
    height_px: int,
    config: GroundingDinoConfig,
) -> list[Detection]:
    """Return the boxes that show the query, best first, possibly none.

    A box scores as much as the query's best word in it, as in the original implementation, which however counts the
    dot and the other signs around the words too.

    Args:
        query: Whose words these are.
        word_scores: Probability of each word of the query in each box, 0..1.
        boxes_cxcywh: Middle, width and height, 0..1 of the image.
        width_px: Of the image.
        height_px: Of the image.
        config: Thresholds.
    """
    scores = word_scores.max(axis=1)
    shown = (scores > config.box_threshold) & (scores > config.text_threshold)
    centre, half = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:] / 2.0
    size = np.array([width_px, height_px], float)
    boxes = np.hstack([np.clip(centre - half, 0, 1) * size, np.clip(centre + half, 0, 1) * size])
    shown &= np.isfinite(boxes).all(axis=1) & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= _MIN_SIDE_PX)
    boxes, scores = boxes[shown], scores[shown]
    kept = suppress_non_maxima(boxes, scores, config.max_overlap)[: config.max_candidates]
    return [Detection(query, boxes[k], float(min(scores[k], 1.0))) for k in kept]
