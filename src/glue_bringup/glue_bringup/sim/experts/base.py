"""What every scripted expert is: the state and the truth in, the next target out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from glue_perception.types import RobotState

ACTION_PERIOD_S = 0.1
"""Demonstrations are sampled at 10 Hz (paper, IV-B)."""


@dataclass(frozen=True, eq=False)
class ExpertAction:
    """The absolute target that is to be in force 100 ms from now, base frame."""

    T_base_ee: Float[np.ndarray, "4 4"]
    gripper_width_m: float


class Expert(Protocol):
    """Acts by the state it sees, so that it recovers from disturbances. One instance serves many episodes."""

    def reset(self, seed: int) -> None:
        """Begin a new episode."""
        ...

    def action(self, state: RobotState, truth: Any) -> ExpertAction:
        """Return the next target; called at 10 Hz.

        Args:
            state: Of the arm now.
            truth: The layout that the task sampled.
        """
        ...
