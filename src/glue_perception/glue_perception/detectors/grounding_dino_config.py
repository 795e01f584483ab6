"""Limits of the Grounding DINO detectors."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.detectors.base import ScoreLimits
from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class GroundingDinoConfig:
    """The `grounding_dino` section of the perception configuration, for `grounding_dino` and `groundingdino_py`.

    `min_score` and `ambiguity_ratio` are this detector's limits for the common choice (`object_choice`). They and the
    thresholds come from Grounding DINO's own demonstration (0.35 and 0.25); the paper names none. A candidate
    between `box_threshold` and `min_score` is shown to people, and refused.

    Attributes:
        weights: Entry of the store, for `grounding_dino`.
        package_weights: Entry of the store, for `groundingdino_py`; that one takes the tokenizer of `weights`.
        box_threshold: A box is a candidate if its best word scores more than this, 0..1.
        text_threshold: Words above this are what a box shows; a box that shows no word of the query is dropped.
            It has an effect only above `box_threshold`.
        max_overlap: Of two candidates that cover each other by more (intersection over union), the better stays.
        max_candidates: Of what is left, this many are returned.
        min_score: The best candidate must score at least this, 0..1.
        ambiguity_ratio: Another object of at least this share of the best score is as good, 0..1.
    """

    weights: str = "grounding-dino-tiny"
    package_weights: str = "grounding-dino-tiny-original"
    box_threshold: float = 0.25
    text_threshold: float = 0.25
    max_overlap: float = 0.5
    max_candidates: int = 10
    min_score: float = 0.35
    ambiguity_ratio: float = 0.8

    def __post_init__(self) -> None:
        _ = self.score_limits
        for name in ("box_threshold", "text_threshold", "max_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1, not {getattr(self, name)}")
        if self.max_candidates < 1:
            raise ConfigError(f"max_candidates must be at least 1, not {self.max_candidates}")

    @property
    def score_limits(self) -> ScoreLimits:
        """The limits for the common choice."""
        return ScoreLimits(self.min_score, self.ambiguity_ratio)
