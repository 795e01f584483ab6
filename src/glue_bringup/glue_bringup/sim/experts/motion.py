"""How the scripted experts move: from the last target towards a goal, at bounded speed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.experts.base import ACTION_PERIOD_S
from glue_perception.geometry import make_transform, matrix_from_rotation_vector, rotation_vector
from glue_perception.types import RobotState

SPEED_M_S = 0.25
TURN_SPEED_RAD_S = 1.0
FINGER_TIP_M = 0.009
"""The finger tips reach this far beyond the tool centre point."""

DOWN = np.diag([1.0, -1.0, -1.0])
"""The hand points down, its fingers open along the base's y."""

_LEAD_M = 0.035


class GuidedTarget:
    """A target that moves from the last one at bounded speed.

    It is never further than a few centimetres ahead of the arm, so a disturbance is answered from where the arm
    really is. One episode; built with the first state.

    Args:
        state: Where the arm begins.
    """

    def __init__(self, state: RobotState) -> None:
        self.T_base_ee: Float[np.ndarray, "4 4"] = np.array(state.T_base_ee)
        self._speed_m_s = 0.0

    def move(
        self,
        state: RobotState,
        goal_m: Float[np.ndarray, "3"],
        goal_rotation: Float[np.ndarray, "3 3"],
        speed_m_s: float,
    ) -> Float[np.ndarray, "4 4"]:
        """Return the target of the next 100 ms, one step nearer to the goal."""
        position = self._step(self.T_base_ee[:3, 3], state.T_base_ee[:3, 3], goal_m, speed_m_s)
        self.T_base_ee = make_transform(turn(self.T_base_ee[:3, :3], goal_rotation), position)
        return self.T_base_ee

    def _step(
        self,
        last: Float[np.ndarray, "3"],
        actual: Float[np.ndarray, "3"],
        goal: Float[np.ndarray, "3"],
        limit_m_s: float,
    ) -> Float[np.ndarray, "3"]:
        lead = last - actual
        distance = float(np.linalg.norm(lead))
        start = actual + lead * min(1.0, _LEAD_M / max(distance, 1e-9))
        way = goal - start
        length = float(np.linalg.norm(way))
        # Speeds up over 0.3 s and slows down in proportion to the way left.
        self._speed_m_s = min(
            self._speed_m_s + limit_m_s / 3, limit_m_s, max(length / (2 * ACTION_PERIOD_S), 0.02)
        )
        step: np.ndarray = start + way * min(1.0, self._speed_m_s * ACTION_PERIOD_S / max(length, 1e-9))
        return step


def turn(rotation: Float[np.ndarray, "3 3"], goal: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Return `rotation` turned towards `goal` by at most one action's angle."""
    vector = rotation_vector(goal @ rotation.T)
    angle = float(np.linalg.norm(vector))
    limit = TURN_SPEED_RAD_S * ACTION_PERIOD_S
    if angle <= limit:
        return goal.copy()
    turned: np.ndarray = matrix_from_rotation_vector(vector * (limit / angle)) @ rotation
    return turned
