"""The scripted expert that presses the button."""

from __future__ import annotations

from enum import Enum

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.experts.base import ACTION_PERIOD_S, ExpertAction
from glue_bringup.sim.tasks.push_button import CLOSED_GRIPPER_M, TRAVEL_M, PushButtonLayout
from glue_perception.geometry import make_transform, matrix_from_rotation_vector, rotation_vector
from glue_perception.types import RobotState

SPEED_M_S = 0.25
PRESS_SPEED_M_S = 0.12
TURN_SPEED_RAD_S = 1.0

FINGER_TIP_M = 0.009
"""The finger tips reach this far beyond the tool centre point."""

HOVER_M = 0.06
PUSH_M = 0.020
"""How far below the stop the target goes: the impedance turns it into some 20 N."""

_ALIGNED_M = 0.014
_ASTRAY_M = 0.026
_DOWN = np.diag([1.0, -1.0, -1.0])
_LEAD_M = 0.035


class _Phase(Enum):
    APPROACH = "approach"
    PRESS = "press"
    RETREAT = "retreat"


class PushButtonExpert:
    """Closes the gripper, goes above the button, presses, and lifts a little.

    A target moves from the last one at bounded speed, but never further than a few centimetres ahead of the
    arm, so a disturbance is answered from where the arm really is.
    """

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode; the seed changes nothing, since all that varies is in the state and the truth."""
        self._phase = _Phase.APPROACH
        self._target: Float[np.ndarray, "4 4"] | None = None
        self._speed_m_s = 0.0
        self._presses = 0

    def action(self, state: RobotState, truth: PushButtonLayout) -> ExpertAction:
        """Return the next target."""
        if self._target is None:
            self._target = np.array(state.T_base_ee)
        self._advance_phase(state, truth)
        position = self._step(self._target[:3, 3], state.T_base_ee[:3, 3], self._goal_m(truth))
        self._target = make_transform(_turn(self._target[:3, :3], _DOWN), position)
        return ExpertAction(self._target, 0.0)

    def _advance_phase(self, state: RobotState, truth: PushButtonLayout) -> None:
        offset = state.T_base_ee[:3, 3] - truth.cap_top_m
        tip_height = offset[2] - FINGER_TIP_M
        aside = float(np.linalg.norm(offset[:2]))
        if self._phase is _Phase.APPROACH:
            closed = state.gripper_width_m < CLOSED_GRIPPER_M
            if closed and aside < _ALIGNED_M and tip_height < 1.4 * HOVER_M:
                self._phase = _Phase.PRESS
        elif self._phase is _Phase.PRESS:
            if tip_height < -0.85 * TRAVEL_M:
                self._presses += 1
            if aside > _ASTRAY_M:
                self._phase = _Phase.APPROACH
            elif self._presses >= 3:
                self._phase = _Phase.RETREAT

    def _goal_m(self, truth: PushButtonLayout) -> Float[np.ndarray, "3"]:
        height = -TRAVEL_M - PUSH_M if self._phase is _Phase.PRESS else HOVER_M
        goal: np.ndarray = truth.cap_top_m + np.array([0.0, 0.0, FINGER_TIP_M + height])
        return goal

    def _step(
        self, last: Float[np.ndarray, "3"], actual: Float[np.ndarray, "3"], goal: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "3"]:
        lead = last - actual
        distance = float(np.linalg.norm(lead))
        start = actual + lead * min(1.0, _LEAD_M / max(distance, 1e-9))
        way = goal - start
        length = float(np.linalg.norm(way))
        limit = PRESS_SPEED_M_S if self._phase is _Phase.PRESS else SPEED_M_S
        # Speeds up over 0.3 s and slows down in proportion to the way left.
        self._speed_m_s = min(self._speed_m_s + limit / 3, limit, max(length / (2 * ACTION_PERIOD_S), 0.02))
        step: np.ndarray = start + way * min(1.0, self._speed_m_s * ACTION_PERIOD_S / max(length, 1e-9))
        return step


def _turn(rotation: Float[np.ndarray, "3 3"], goal: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Return `rotation` turned towards `goal` by at most one action's angle."""
    vector = rotation_vector(goal @ rotation.T)
    angle = float(np.linalg.norm(vector))
    limit = TURN_SPEED_RAD_S * ACTION_PERIOD_S
    if angle <= limit:
        return goal.copy()
    turned: np.ndarray = matrix_from_rotation_vector(vector * (limit / angle)) @ rotation
    return turned
