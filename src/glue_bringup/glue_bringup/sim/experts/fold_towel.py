"""The scripted expert that folds the towel."""

from __future__ import annotations

from enum import Enum

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.experts.base import ExpertAction
from glue_bringup.sim.experts.motion import DOWN, SPEED_M_S, GuidedTarget
from glue_bringup.sim.tasks.fold_towel import MET_M, FoldTowelTruth
from glue_perception.geometry import matrix_from_rotation_vector, rotation_vector
from glue_perception.types import RobotState

GRASP_SPEED_M_S = 0.12
OPEN_M = 0.05
HOVER_M = 0.07
PINCH_M = 0.002
"""Height of the target above the cloth when pinching: it presses the finger tips onto the table with some 5 N."""

INSET_M = 0.012
"""The fingers take the corner this far inside, along the diagonal."""

SHORT_M = 0.008
"""The fold's bend uses up some cloth, so the corner is laid down this much before the opposite one."""

LAY_M = 0.025
ARC_SHARE = 0.75
"""Height of the way over as a share of half its length: on a full half circle (1) the cloth would be taut."""

RETREAT_M = 0.15

_ALIGNED_M = 0.006
_ASTRAY_M = 0.016
_TURNED_RAD = 0.1
_TOUCHING_M = 0.0135
_SHUT_M = 0.004
_AHEAD_RAD = 0.45
_ARRIVED_M = 0.012


class _Phase(Enum):
    APPROACH = "approach"
    DESCEND = "descend"
    CLOSE = "close"
    CARRY = "carry"
    RELEASE = "release"
    RETREAT = "retreat"


class FoldTowelExpert:
    """Pinches the top-right corner, carries it in an arc onto the opposite one, lets go, and goes up.

    The fingers straddle the corner: they close along the other diagonal. Where the towel was not caught, was
    dropped on the way, or does not lie as it should, the corner is sought again wherever it is.
    """

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode; the seed changes nothing, since all that varies is in the state and the truth."""
        self._phase = _Phase.APPROACH
        self._target: GuidedTarget | None = None
        self._way: _Arc | None = None

    def action(self, state: RobotState, truth: FoldTowelTruth) -> ExpertAction:
        """Return the next target."""
        if self._target is None:
            self._target = GuidedTarget(state)
        rotation = matrix_from_rotation_vector(np.array([0.0, 0.0, truth.layout.yaw_rad - np.pi / 4])) @ DOWN
        grasp = _inside(truth)
        self._advance_phase(state, truth, grasp, rotation)
        near = self._phase in (_Phase.DESCEND, _Phase.CLOSE)
        speed = GRASP_SPEED_M_S if near else SPEED_M_S
        target = self._target.move(state, self._goal_m(state, grasp), rotation, speed)
        closed = self._phase in (_Phase.CLOSE, _Phase.CARRY)
        return ExpertAction(target, 0.0 if closed else OPEN_M)

    def _advance_phase(
        self,
        state: RobotState,
        truth: FoldTowelTruth,
        grasp: Float[np.ndarray, "3"],
        rotation: Float[np.ndarray, "3 3"],
    ) -> None:
        tool = state.T_base_ee[:3, 3]
        aside = float(np.linalg.norm((tool - grasp)[:2]))
        if self._phase is _Phase.APPROACH:
            turn = float(np.linalg.norm(rotation_vector(rotation @ state.T_base_ee[:3, :3].T)))
            opened = state.gripper_width_m > 0.8 * OPEN_M
            if opened and turn < _TURNED_RAD and aside < _ALIGNED_M and tool[2] < grasp[2] + 1.4 * HOVER_M:
                self._phase = _Phase.DESCEND
        elif self._phase is _Phase.DESCEND:
            if aside > _ASTRAY_M:
                self._phase = _Phase.APPROACH
            elif tool[2] < grasp[2] + _TOUCHING_M:
                self._phase = _Phase.CLOSE
        elif self._phase is _Phase.CLOSE:
            if truth.held:
                self._way = _Arc(tool, _lay_down(truth))
                self._phase = _Phase.CARRY
            elif state.gripper_width_m < _SHUT_M:
                self._phase = _Phase.APPROACH
        elif self._phase is _Phase.CARRY:
            if not truth.held:
                self._phase = _Phase.APPROACH
            elif self._way is not None and self._way.left_m(tool) < _ARRIVED_M:
                self._phase = _Phase.RELEASE
        elif self._phase is _Phase.RELEASE:
            if not truth.held and state.gripper_width_m > 0.8 * OPEN_M:
                self._phase = _Phase.RETREAT
        elif tool[2] > 0.9 * RETREAT_M and not _is_folded(truth):
            self._phase = _Phase.APPROACH

    def _goal_m(self, state: RobotState, grasp: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        tool = state.T_base_ee[:3, 3]
        if self._phase is _Phase.APPROACH:
            return _above(grasp, HOVER_M)
        if self._phase in (_Phase.DESCEND, _Phase.CLOSE) or self._way is None:
            return _above(grasp, PINCH_M)
        if self._phase is _Phase.CARRY:
            return self._way.ahead_m(tool)
        if self._phase is _Phase.RELEASE:
            return self._way.end_m
        up: np.ndarray = np.append(self._way.end_m[:2], RETREAT_M)
        return up


class _Arc:
    """Half an ellipse over the table from one place to another."""

    def __init__(self, start_m: Float[np.ndarray, "3"], end_m: Float[np.ndarray, "3"]) -> None:
        self.end_m = end_m
        self._base_m = np.append(start_m[:2], end_m[2])
        self._way_m = np.append((end_m - start_m)[:2], 0.0)
        self._length_m = float(np.linalg.norm(self._way_m))

    def ahead_m(self, tool: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """Return the place on the arc a little ahead of the tool."""
        share = float((tool - self._base_m) @ self._way_m) / max(self._length_m, 1e-6) ** 2
        angle = min(float(np.arccos(np.clip(1.0 - 2.0 * share, -1.0, 1.0))) + _AHEAD_RAD, np.pi)
        goal: np.ndarray = self._base_m + 0.5 * (1.0 - np.cos(angle)) * self._way_m
        goal[2] += ARC_SHARE * self._length_m / 2 * np.sin(angle)
        return goal

    def left_m(self, tool: Float[np.ndarray, "3"]) -> float:
        """Return how far the end is."""
        return float(np.linalg.norm(self.end_m - tool))


def _above(place_m: Float[np.ndarray, "3"], height_m: float) -> Float[np.ndarray, "3"]:
    higher: np.ndarray = place_m + np.array([0.0, 0.0, height_m])
    return higher


def _inside(truth: FoldTowelTruth) -> Float[np.ndarray, "3"]:
    """Return where to take the corner: a little inside, at the height of the corner."""
    corner, goal = truth.corners_m[0], truth.corners_m[2]
    way = goal[:2] - corner[:2]
    place: np.ndarray = corner.copy()
    length = float(np.linalg.norm(way))
    if length > MET_M:  # folded too far, the way to the opposite corner says nothing
        place[:2] += INSET_M * way / length
    return place


def _lay_down(truth: FoldTowelTruth) -> Float[np.ndarray, "3"]:
    """Return where to let go: so that the corner comes to lie on the opposite one."""
    corner, goal = truth.corners_m[0], truth.corners_m[2]
    back = corner[:2] - goal[:2]
    back = back / max(float(np.linalg.norm(back)), 1e-6)
    return np.append(goal[:2] + (INSET_M + SHORT_M) * back, LAY_M)


def _is_folded(truth: FoldTowelTruth) -> bool:
    return float(np.linalg.norm((truth.corners_m[0] - truth.corners_m[2])[:2])) < MET_M
