"""Limits of the Grounding DINO detectors."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class GroundingDinoConfig:
    """The `grounding_dino` section of the perception configuration, for `grounding_dino` and `groundingdino_py`.

    The thresholds are those of Grounding DINO's own demonstration; the paper names none.

    Attributes:
        weights: Entry of the store, for `grounding_dino`.
        package_weights: Entry of the store, for `groundingdino_py`; that one takes the tokenizer of `weights`.
        box_threshold: A box is a candidate if its best word scores more than this, 0..1.
        text_threshold: Words above this are what a box shows; a box that shows no word of the query is dropped.
            It has an effect only above `box_threshold`.
        max_overlap: Of two candidates that cover each other by more (intersection over union), the better stays.
        max_candidates: Of what is left, this many are returned.
    """

    weights: str = "grounding-dino-tiny"
    package_weights: str = "grounding-dino-tiny-original"
    box_threshold: float = 0.35
    text_threshold: float = 0.25
    max_overlap: float = 0.5
    max_candidates: int = 10

    def __post_init__(self) -> None:
        for name in ("box_threshold", "text_threshold", "max_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1, not {getattr(self, name)}")
        if self.max_candidates < 1:
            raise ConfigError(f"max_candidates must be at least 1, not {self.max_candidates}")
