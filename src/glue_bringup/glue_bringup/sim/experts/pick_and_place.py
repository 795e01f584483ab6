"""The scripted motion that stack_block and place_fruit share: grasp from above, carry, set down, let go, leave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.experts.base import ExpertAction
from glue_bringup.sim.experts.motion import DOWN, FINGER_TIP_M, SPEED_M_S, GuidedTarget
from glue_perception.geometry import matrix_from_rotation_vector
from glue_perception.types import RobotState

OPEN_M = 0.08
CLOSED_M = 0.0
"""Asked for in a grasp: the fingers stop at the object and press it with the gripper's force."""

DESCEND_SPEED_M_S = 0.12
SET_DOWN_SPEED_M_S = 0.10
HOVER_M = 0.09
LEAVE_M = 0.10
PRESS_M = 0.006
"""How far below its seat the object is aimed: the impedance sets it down with 6 N."""

_ALIGNED_M = 0.008
_ASTRAY_M = 0.018
_ALIGNED_RAD = 0.06
_IN_HAND_M = 0.035
_CAUGHT_M = 0.012
_FREE_M = 0.014
_STEADY_M = 0.0007
_SEATED_M = 0.004
_LOWEST_M = FINGER_TIP_M + 0.003
_PATIENCE = 30


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be carried where, at this instant.

    Attributes:
        object_m: Middle of the object, base frame.
        place_m: Where its middle is to be when it is let go.
        yaws_rad: Turns of the hand about the vertical in which the fingers fit the object.
        width_m: What the gripper reads when it holds the object.
        carry_m: Height at which the object's middle travels.
        tolerance_m: How far from `place_m`, level, it may be let go.
    """

    object_m: Float[np.ndarray, "3"]
    place_m: Float[np.ndarray, "3"]
    yaws_rad: tuple[float, ...]
    width_m: float
    carry_m: float
    tolerance_m: float


class _Phase(Enum):
    REACH = "reach"
    DESCEND = "descend"
    CLOSE = "close"
    LIFT = "lift"
    CARRY = "carry"
    SET_DOWN = "set down"
    OPEN = "open"
    LEAVE = "leave"


_CLOSED_PHASES = (_Phase.CLOSE, _Phase.LIFT, _Phase.CARRY, _Phase.SET_DOWN)
_SPEED_M_S = {_Phase.DESCEND: DESCEND_SPEED_M_S, _Phase.SET_DOWN: SET_DOWN_SPEED_M_S}


class PickAndPlaceExpert(ABC):
    """Grasps from above, lifts, carries, sets down, opens and leaves; begins again when the object got away.

    What comes next is decided by where the object and the arm really are. A subclass says what to carry where.
    """

    def __init__(self) -> None:
        self.reset(0)

    @abstractmethod
    def job(self, truth: Any) -> Job:
        """Return what is to be carried where, for the truth of this instant."""

    def reset(self, seed: int) -> None:
        """Begin a new episode; the seed changes nothing, since all that varies is in the state and the truth."""
        self._target: GuidedTarget | None = None
        self._yaw_rad = 0.0
        self._begin(_Phase.REACH)

    def action(self, state: RobotState, truth: Any) -> ExpertAction:
        """Return the next target."""
        if self._target is None:
            self._target = GuidedTarget(state)
        job = self.job(truth)
        tool_m = state.T_base_ee[:3, 3]
        self._advance(job, state)
        if self._phase in (_Phase.REACH, _Phase.DESCEND):
            self._yaw_rad = _nearest_yaw(job.yaws_rad, self._yaw_rad)
        rotation = matrix_from_rotation_vector(np.array([0.0, 0.0, self._yaw_rad])) @ DOWN
        speed = _SPEED_M_S.get(self._phase, SPEED_M_S)
        T_base_ee = self._target.move(
            state, self._goal_m(job, tool_m, self._target.T_base_ee[:3, 3]), rotation, speed
        )
        self._last_width_m = state.gripper_width_m
        return ExpertAction(T_base_ee, CLOSED_M if self._phase in _CLOSED_PHASES else OPEN_M)

    def _begin(self, phase: _Phase) -> None:
        self._phase = phase
        self._calls = 0
        self._last_width_m = np.inf

    def _advance(self, job: Job, state: RobotState) -> None:
        """Go on to the next phase, or back to the first, where the state asks for it."""
        self._calls += 1
        after = getattr(self, f"_after_{self._phase.name.lower()}")(job, state)
        if after is not None:
            self._begin(after)

    def _after_reach(self, job: Job, state: RobotState) -> _Phase | None:
        offset = state.T_base_ee[:3, 3] - job.object_m
        ready = state.gripper_width_m > job.width_m + _FREE_M and self._is_turned(state)
        above = np.linalg.norm(offset[:2]) < _ALIGNED_M and offset[2] < 1.4 * HOVER_M
        return _Phase.DESCEND if ready and above else None

    def _after_descend(self, job: Job, state: RobotState) -> _Phase | None:
        tool_m = state.T_base_ee[:3, 3]
        aside = float(np.linalg.norm((tool_m - job.object_m)[:2]))
        if aside > _ASTRAY_M:
            return _Phase.REACH
        low = tool_m[2] < _grasp_height_m(job) + 0.008
        return _Phase.CLOSE if low and aside < _ALIGNED_M else None

    def _after_close(self, job: Job, state: RobotState) -> _Phase | None:
        # A gripper behind a network begins late, so an opening that does not change need not be a grasp.
        steady = abs(state.gripper_width_m - self._last_width_m) < _STEADY_M
        if steady and state.gripper_width_m < job.width_m + _FREE_M / 2:
            return _Phase.LIFT if self._holds(job, state) else _Phase.REACH
        return _Phase.REACH if self._calls > _PATIENCE else None

    def _after_lift(self, job: Job, state: RobotState) -> _Phase | None:
        if not self._holds(job, state):
            return _Phase.REACH
        return _Phase.CARRY if job.object_m[2] > job.carry_m - 0.02 else None

    def _after_carry(self, job: Job, state: RobotState) -> _Phase | None:
        if not self._holds(job, state):
            return _Phase.REACH
        aside = float(np.linalg.norm((job.object_m - job.place_m)[:2]))
        return _Phase.SET_DOWN if aside < 0.7 * job.tolerance_m else None

    def _after_set_down(self, job: Job, state: RobotState) -> _Phase | None:
        if not self._holds(job, state):
            return _Phase.OPEN if self._is_placed(job) else _Phase.REACH
        aside = float(np.linalg.norm((job.object_m - job.place_m)[:2]))
        if aside > 2.0 * job.tolerance_m:
            return _Phase.LIFT
        low = job.object_m[2] < job.place_m[2] + _SEATED_M or self._calls > _PATIENCE
        return _Phase.OPEN if low and aside < job.tolerance_m else None

    def _after_open(self, job: Job, state: RobotState) -> _Phase | None:
        return _Phase.LEAVE if state.gripper_width_m > job.width_m + _FREE_M else None

    def _after_leave(self, job: Job, state: RobotState) -> _Phase | None:
        away = state.T_base_ee[2, 3] > job.object_m[2] + LEAVE_M - 0.02
        return _Phase.REACH if away and self._calls > 5 and not self._is_placed(job) else None

    def _is_turned(self, state: RobotState) -> bool:
        across = state.T_base_ee[:3, 1]
        wanted = np.array([np.sin(self._yaw_rad), -np.cos(self._yaw_rad), 0.0])
        return float(np.linalg.norm(across - wanted)) < _ALIGNED_RAD

    def _holds(self, job: Job, state: RobotState) -> bool:
        apart = float(np.linalg.norm(state.T_base_ee[:3, 3] - job.object_m))
        return apart < _IN_HAND_M and state.gripper_width_m > job.width_m - _CAUGHT_M

    def _is_placed(self, job: Job) -> bool:
        offset = job.object_m - job.place_m
        return float(np.linalg.norm(offset[:2])) < 2.0 * job.tolerance_m and abs(offset[2]) < 0.012

    def _goal_m(
        self, job: Job, tool_m: Float[np.ndarray, "3"], target_m: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "3"]:
        """Return where the tool is to go in this phase, from where it is and from its last target."""
        if self._phase is _Phase.OPEN:
            return target_m
        x, y, z = job.object_m
        in_hand = tool_m - job.object_m
        if self._phase is _Phase.REACH:
            height = z + HOVER_M
            # A hand between the objects rises before it goes anywhere else.
            if tool_m[2] < height - 0.03 and np.linalg.norm(in_hand[:2]) > _ASTRAY_M:
                return np.array([tool_m[0], tool_m[1], height])
            return np.array([x, y, height])
        if self._phase in (_Phase.DESCEND, _Phase.CLOSE):
            return np.array([x, y, _grasp_height_m(job)])
        if self._phase is _Phase.LIFT:
            return np.array([tool_m[0], tool_m[1], job.carry_m + in_hand[2]])
        if self._phase is _Phase.CARRY:
            above: np.ndarray = np.array([*job.place_m[:2], job.carry_m]) + in_hand
            return above
        if self._phase is _Phase.SET_DOWN:
            seat: np.ndarray = job.place_m + in_hand - np.array([0.0, 0.0, PRESS_M])
            return seat
        return np.array([tool_m[0], tool_m[1], z + LEAVE_M])


def _grasp_height_m(job: Job) -> float:
    return max(float(job.object_m[2]), _LOWEST_M)


def _nearest_yaw(yaws_rad: tuple[float, ...], current_rad: float) -> float:
    """Return the yaw nearest to the hand's home position, with a little preference for the present one."""
    return min(yaws_rad, key=lambda yaw: abs(yaw) + 0.3 * abs(yaw - current_rad))


def repeated(yaw_rad: float, period_rad: float) -> tuple[float, ...]:
    """Return the equivalent yaws of an object that looks alike after each period, within half a turn."""
    first = (yaw_rad + np.pi) % period_rad - np.pi
    return tuple(float(yaw) for yaw in np.arange(first, np.pi, period_rad))
