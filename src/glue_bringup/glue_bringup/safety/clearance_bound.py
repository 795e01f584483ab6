"""How far links that can meet are apart, without measuring it where it is known well enough."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from glue_bringup.safety.kinematic_model import KinematicModel


class ClearanceBound:
    """Bounds the clearance of many postures from below by that of one that was measured.

    Between two postures no two links come closer by more than the sum over the joints of the angle turned times the
    farthest that a point moves per radian (`KinematicModel.reach_m`). So while the arm is far from itself one
    measurement lasts for as long as it has moved little; near itself every posture is measured.

    Args:
        model: Measures.
    """

    def __init__(self, model: KinematicModel) -> None:
        self._model = model
        self._measured: tuple[Float[np.ndarray, "7"], float] | None = None

    def least_m(self, joint_position_rad: Float[np.ndarray, "n 7"], enough_m: float) -> float:
        """Return the smallest clearance of some postures [m], or anything from `enough_m` to it if it is no less."""
        if self._measured is not None:
            posture, clearance_m = self._measured
            travel_m = np.abs(joint_position_rad - posture) @ self._model.reach_m
            least_m = clearance_m - float(travel_m.max())
            if least_m >= enough_m:
                return least_m
        clearances_m = [self._model.clearance_m(posture) for posture in joint_position_rad]
        middle = len(clearances_m) // 2
        self._measured = joint_position_rad[middle].copy(), clearances_m[middle]
        return min(clearances_m)
