"""The scripted expert that presses the button."""

from __future__ import annotations

from enum import Enum

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.experts.base import ExpertAction
from glue_bringup.sim.experts.motion import DOWN, FINGER_TIP_M, SPEED_M_S, GuidedTarget
from glue_bringup.sim.tasks.push_button import CLOSED_GRIPPER_M, TRAVEL_M, PushButtonLayout
from glue_perception.types import RobotState

PRESS_SPEED_M_S = 0.12
HOVER_M = 0.06
PUSH_M = 0.020
"""How far below the stop the target goes: the impedance turns it into some 20 N."""

_ALIGNED_M = 0.014
_ASTRAY_M = 0.026


class _Phase(Enum):
    APPROACH = "approach"
    PRESS = "press"
    RETREAT = "retreat"


class PushButtonExpert:
    """Closes the gripper, goes above the button, presses, and lifts a little."""

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode; the seed changes nothing, since all that varies is in the state and the truth."""
        self._phase = _Phase.APPROACH
        self._target: GuidedTarget | None = None
        self._presses = 0

    def action(self, state: RobotState, truth: PushButtonLayout) -> ExpertAction:
        """Return the next target."""
        if self._target is None:
            self._target = GuidedTarget(state)
        self._advance_phase(state, truth)
        speed = PRESS_SPEED_M_S if self._phase is _Phase.PRESS else SPEED_M_S
        return ExpertAction(self._target.move(state, self._goal_m(truth), DOWN, speed), 0.0)

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
