"""What every detector is: text queries in, candidates per query out (paper, III-B 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import ConfigError
from glue_perception.preflight import RefusalReason
from glue_perception.types import Detection


@dataclass(frozen=True)
class ScoreLimits:
    """What a detector's scores mean; they are comparable within one detector only.

    Attributes:
        min_score: Candidates below it are not the object, 0..1.
        ambiguity_ratio: A second candidate of at least this share of the best one's score is as good, 0..1.

    Raises:
        ConfigError: a number out of range.
    """

    min_score: float
    ambiguity_ratio: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_score <= 1.0 or not 0.0 < self.ambiguity_ratio <= 1.0:
            raise ConfigError(
                "min_score must lie in 0..1 and ambiguity_ratio in 0..1 but not at 0, not "
                f"{self.min_score}, {self.ambiguity_ratio}"
            )


class Detector(Protocol):
    """Finds named objects in an image. Stateless and deterministic.

    A detector proposes and scores; it neither chooses nor refuses. `object_choice` does that for all of them.
    """

    @property
    def score_limits(self) -> ScoreLimits:
        """The limits that fit this detector's scores, in force where the configuration's `choice` names none."""
        ...

    def propose(
        self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]
    ) -> list[list[Detection]]:
        """Return the candidates of each query, best first, possibly none, in the order of the queries.

        Raises:
            QueryError: there are no queries, or one is empty or not understood; the message says which.
        """
        ...

    def hint(self, reason: RefusalReason, rgb: UInt8[np.ndarray, "height width 3"], query: str) -> str:
        """Return what this detector adds to a refusal: a cause and a remedy, as a clause, or "" for the usual one.

        Args:
            reason: ABSENT, LOW_SCORE, AMBIGUOUS or SAME_OBJECT.
            rgb: The image in which `query` was refused.
            query: One that `propose` understands.
        """
        ...
