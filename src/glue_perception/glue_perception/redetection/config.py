"""Limits of re-detection, and how a host waits for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np

from glue_perception.errors import ConfigError


class RedetectionMode(StrEnum):
    """What happens at the frame at which a re-detection is due to be taken in.

    BACKGROUND: it is taken in if it is done, else at the first frame after it is (live). WAIT: the frame waits for
    it, so that the same frames give the same answers on any machine (replay, evaluation, simulated time).
    """

    BACKGROUND = "background"
    WAIT = "wait"


@dataclass(frozen=True)
class RedetectionConfig:
    """When lost objects are looked for again, and what is taken for the same object.

    Attributes:
        enabled: Whether at all.
        min_lost_share: Share of an object's points that must be lost.
        after_s: For how long.
        merge_after_s: A search begun on a frame is taken in at the first frame that is at least so much later: a
            fixed time, so that a replay does as the robot did. Give it what a search takes on the robot's computer.
        give_up_after_s: A search that takes longer is abandoned; until then a grey picture of every frame is kept.
        retry_after_s: Pause after a refusal; doubles with every refusal in a row.
        max_retry_after_s: Longest pause.
        min_score_share: Least score of the detector, as a share of that at the start: with the red button below the
            hand, the best red thing is a pen.
        max_area_factor: How much larger or smaller its mask may be than at the start, by area. An arm that hides
            half of an object, or one carried towards the camera, stays within 3.
        min_color_similarity: Least intersection of the histograms of chromaticity (a*, b*), 0..1.
        min_feature_similarity: Least cosine between the mean features of its pixels then and now.
        min_carried_share: Share of the new points that must be followed from the searched frame to the present one.

    Raises:
        ConfigError: a value out of range.
    """

    enabled: bool = True
    min_lost_share: float = 0.5
    after_s: float = 0.2
    merge_after_s: float = 0.5
    give_up_after_s: float = 8.0
    retry_after_s: float = 1.0
    max_retry_after_s: float = 4.0
    min_score_share: float = 0.5
    max_area_factor: float = 3.0
    min_color_similarity: float = 0.5
    min_feature_similarity: float = 0.8
    min_carried_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("min_lost_share", "min_carried_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1 and not be 0, not {getattr(self, name)}")
        for name in ("min_score_share", "min_color_similarity", "min_feature_similarity"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1, not {getattr(self, name)}")
        if not 0.0 <= self.after_s < np.inf:
            raise ConfigError(f"after_s must not be negative, not {self.after_s}")
        if not 0.0 < self.merge_after_s < self.give_up_after_s < np.inf:
            raise ConfigError(
                "times must satisfy 0 < merge_after_s < give_up_after_s, not "
                f"{self.merge_after_s}, {self.give_up_after_s}"
            )
        if not 0.0 < self.retry_after_s <= self.max_retry_after_s < np.inf:
            raise ConfigError(
                "times must satisfy 0 < retry_after_s <= max_retry_after_s, not "
                f"{self.retry_after_s}, {self.max_retry_after_s}"
            )
        if not 1.0 < self.max_area_factor < np.inf:
            raise ConfigError(f"max_area_factor must be more than 1, not {self.max_area_factor}")


@dataclass
class RedetectionCounts:
    """What became of the searches of an episode, for diagnostics.

    Attributes:
        begun: Searches begun.
        merged: Objects whose points were put where they were found.
        refused: Objects that were not found, or not taken for the same thing.
        late: Searches that were not done when they were due.
        abandoned: Searches given up.
        last_refusal: Why, in words.
    """

    begun: int = 0
    merged: int = 0
    refused: int = 0
    late: int = 0
    abandoned: int = 0
    last_refusal: str = ""

    def as_mapping(self) -> dict[str, int | str]:
        """Return plain values for a report."""
        return asdict(self)
