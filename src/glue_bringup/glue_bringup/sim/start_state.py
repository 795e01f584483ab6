"""How the robot stands when an episode begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD

JOINT_SPREAD_RAD = 0.05
"""Moves the tool centre point by about 3 cm."""

GRIPPER_RANGE_M = (0.03, 0.06)

_STREAM = 1  # keeps these numbers apart from those of the layout of the same seed


@dataclass(frozen=True, eq=False)
class StartState:
    """Joint angles and finger opening at time zero, at rest."""

    joint_position_rad: Float[np.ndarray, "7"]
    gripper_width_m: float


def sample_start(seed: int) -> StartState:
    """Return the start of episode `seed`: home plus a small random offset, the gripper partly open."""
    rng = np.random.default_rng([seed, _STREAM])
    return StartState(
        joint_position_rad=np.array(PANDA_HOME_RAD) + rng.uniform(-JOINT_SPREAD_RAD, JOINT_SPREAD_RAD, 7),
        gripper_width_m=float(rng.uniform(*GRIPPER_RANGE_M)),
    )
