"""Joint limits, singularities, self-collision and the table, kept by construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_bringup.safety.config import JointGuardConfig
from glue_bringup.safety.kinematic_model import KinematicModel
from glue_bringup.safety.motion_limiter import MotionState
from glue_bringup.safety.reasons import Reason
from glue_perception.errors import HardwareError
from glue_perception.types import RobotState

MAX_TOOL_M = 0.6
"""A tool further than this from the flange is taken for joints and pose that do not belong together."""

TOLERANCE = 1e-9
ANCHOR_TOLERANCE = 1e-6
ENDS = 14
"""Margins of the joints' two ends come first."""

_LEAST_EIGENVALUE = 1e-6


@dataclass(frozen=True, eq=False)
class JointMotion:
    """The joints at one instant.

    Attributes:
        position: In rad.
        velocity: In rad/s.
        acceleration: In rad/s^2.
        jacobian: From joint speeds to the tool's velocity [m/s, rad/s], base frame.
        inverse: Its pseudo-inverse.
        least_singular_value: Of the Jacobian.
    """

    position: Float[np.ndarray, "7"]
    velocity: Float[np.ndarray, "7"]
    acceleration: Float[np.ndarray, "7"]
    jacobian: Float[np.ndarray, "6 7"]
    inverse: Float[np.ndarray, "7 6"]
    least_singular_value: float


class JointGuard:
    """Follows the commanded pose in the joints and refuses steps from which the arm could not stop within its limits.

    The commanded pose is Cartesian. The guard keeps a joint path beneath it: differential inverse kinematics with
    the least joint motion, the elbow drawn slowly to `posture_rad` as the impedance law does. A step is admissible
    if it and the whole ramp to rest after it keep every margin, each at a share of the table. If not, the arm
    goes on along the ramp that was checked in the tick before. So at every instant there is a checked way to rest
    (failsafe planning, as in Althoff et al. for vehicles), and no input can lead out of the margins. A margin that is
    violated already, since the arm was started there, may only grow better.

    No thread and no clock of its own.

    Args:
        config: Margins.
        model: Kinematics; its robot's table gives the limits.
    """

    def __init__(self, config: JointGuardConfig, model: KinematicModel) -> None:
        self._config = config
        self._model = model
        table = model.limits
        self._low, self._high = np.array(table.joint_position_min_rad), np.array(table.joint_position_max_rad)
        self._velocity = config.velocity_share * np.array(table.joint_velocity_rad_s)
        self._acceleration = config.acceleration_share * np.array(table.joint_acceleration_rad_s2)
        self._jerk = config.jerk_share * np.array(table.joint_jerk_rad_s3)
        self._posture = np.array(config.posture_rad)
        self._now = self._resting(np.array(config.posture_rad))
        self._null = np.zeros(7)
        self._floor = np.zeros(0)

    @property
    def now(self) -> JointMotion:
        """The joint path at the last tick."""
        return self._now

    def reset(self, state: RobotState) -> None:
        """Begin at rest at the measured joints; where the tool is on the flange follows from the state.

        Raises:
            HardwareError: joints and tool pose do not belong to one arm.
        """
        flange = self._model.flange_pose(state.joint_position_rad)
        tool = np.linalg.inv(flange) @ state.T_base_ee
        distance_m = float(np.linalg.norm(tool[:3, 3]))
        if distance_m > MAX_TOOL_M:
            raise HardwareError(
                f"the state's joints put a flange of {self._model.limits.model.value} {distance_m:.2f} m from its "
                "tool; check robot_model, and the end effector set in Desk"
            )
        self._model.set_tool(tool)
        self._rest(self._resting(state.joint_position_rad.copy()))

    def anchor(self, state: RobotState, commanded: MotionState) -> None:
        """Take over the measured elbow while the arm is at rest; the tool stays where it is commanded to be."""
        start = self._resting(state.joint_position_rad.copy())
        for _ in range(3):
            start = self._resting(self._follow(start, commanded, 0.0, np.zeros(7)).position)
        if np.abs(_error(commanded, *self._model.tool_pose(start.position))).max() < ANCHOR_TOLERANCE:
            self._rest(start)

    def _resting(self, position: Float[np.ndarray, "7"]) -> JointMotion:
        jacobian = self._model.jacobian(position)
        return JointMotion(position, np.zeros(7), np.zeros(7), jacobian, *_inverse(jacobian))

    def _rest(self, motion: JointMotion) -> None:
        self._now, self._null = motion, np.zeros(7)
        # What each margin must at least keep: zero, or what it is if it is violated already.
        self._floor = np.minimum(0.0, self._margins(motion, True))

    def measured_fault(self, state: RobotState) -> Reason | None:
        """Return why the measured joints forbid motion, or None."""
        stop = self._config.position_stop_rad
        q = state.joint_position_rad
        if np.any(q < self._low + stop) or np.any(q > self._high - stop):
            return Reason.JOINT_POSITION
        return None

    def refuse(
        self, step: MotionState, ramp: Sequence[tuple[float, MotionState]], dt_s: float
    ) -> Reason | None:
        """Return why a step may not be taken, or None.

        Args:
            step: The commanded tool after the step.
            ramp: Points on its way to rest, see `MotionLimiter.ramp`.
            dt_s: Time of the step.
        """
        moved = self._follow(self._now, step, dt_s, self._null_motion(dt_s))
        jerk = np.abs(moved.acceleration - self._now.acceleration) / dt_s
        if np.any(jerk > self._jerk):
            return Reason.JOINT_SPEED
        reason = self._outside(moved, False)
        last = len(ramp) - 1
        null = self._null_motion(dt_s)
        for k, (gap_s, state) in enumerate(ramp):
            if reason is not None:
                return reason
            null = _towards(null, np.zeros(7), self._config.posture_acceleration_rad_s2 * gap_s)
            moved = self._follow(moved, state, gap_s, null)
            reason = self._outside(moved, k == last)
        return reason

    def move(self, step: MotionState, dt_s: float, following: bool) -> None:
        """Go with a step that is taken.

        Args:
            step: The commanded tool after the step.
            dt_s: Time of the step.
            following: False on the way to rest, where the elbow comes to rest too.
        """
        if dt_s <= 0.0:
            return
        self._null = self._null_motion(dt_s) if following else self._null_decayed(dt_s)
        self._now = self._follow(self._now, step, dt_s, self._null)
        if (self._floor < 0.0).any():
            margins = self._margins(self._now, True)
            self._floor = np.minimum(0.0, np.maximum(self._floor, margins))

    def _follow(
        self, start: JointMotion, step: MotionState, dt_s: float, null: Float[np.ndarray, "7"]
    ) -> JointMotion:
        """Return the joints after a step: two Newton steps from where the speed of before leads to."""
        position = start.position + start.velocity * dt_s
        for _ in range(2):
            position = position + start.inverse @ _error(step, *self._model.tool_pose(position))
        return self._motion(position, step, null)

    def _motion(
        self, position: Float[np.ndarray, "7"], step: MotionState, null: Float[np.ndarray, "7"]
    ) -> JointMotion:
        jacobian = self._model.jacobian(position)
        inverse, least = _inverse(jacobian)
        velocity = inverse @ (step.twist - jacobian @ null) + null
        # The elbow's own acceleration is small, and covered by the share of the table that is left free.
        acceleration = inverse @ (step.twist_change - self._model.drift(position, velocity))
        return JointMotion(position, velocity, acceleration, jacobian, inverse, least)

    def _null_motion(self, dt_s: float) -> Float[np.ndarray, "7"]:
        """Return the elbow's velocity towards its posture, slow and without a step."""
        config = self._config
        pull = config.posture_rate_s * (self._posture - self._now.position)
        pull = pull - self._now.inverse @ (self._now.jacobian @ pull)
        size = float(np.linalg.norm(pull))
        if size > config.posture_speed_rad_s:
            pull = pull * (config.posture_speed_rad_s / size)
        return _towards(self._null, pull, config.posture_acceleration_rad_s2 * dt_s)

    def _null_decayed(self, dt_s: float) -> Float[np.ndarray, "7"]:
        return _towards(self._null, np.zeros(7), self._config.posture_acceleration_rad_s2 * dt_s)

    def _outside(self, moved: JointMotion, with_links: bool) -> Reason | None:
        """Return which margin a point on the path violates, or None."""
        if np.any(np.abs(moved.velocity) > self._velocity) or np.any(
            np.abs(moved.acceleration) > self._acceleration
        ):
            return Reason.JOINT_SPEED
        margins = self._margins(moved, with_links)
        bad = margins < self._floor[: len(margins)] - TOLERANCE
        if not bad.any():
            return None
        first = int(np.argmax(bad))
        if first < ENDS:
            return Reason.JOINT_MARGIN
        return (Reason.SINGULARITY, Reason.SELF_COLLISION, Reason.TABLE)[first - ENDS]

    def _margins(self, motion: JointMotion, with_links: bool) -> Float[np.ndarray, "n"]:
        """Return by how much each margin is kept: joints' ends, smallest singular value, links, table."""
        config, position = self._config, motion.position
        margin = config.position_margin_rad
        values = [*(position - self._low - margin), *(self._high - margin - position)]
        values.append(motion.least_singular_value - config.min_singular_value)
        if with_links:
            values.append(self._model.clearance_m(position) - config.self_collision_margin_m)
            if config.table_height_m is not None:
                values.append(self._model.lowest_m(position) - config.table_height_m)
        return np.array(values)


def _inverse(jacobian: Float[np.ndarray, "6 7"]) -> tuple[Float[np.ndarray, "7 6"], float]:
    """Return the pseudo-inverse and the smallest singular value; directions that are all but lost give no motion."""
    values, vectors = np.linalg.eigh(jacobian @ jacobian.T)
    inverted = np.where(values > _LEAST_EIGENVALUE, 1.0 / np.maximum(values, _LEAST_EIGENVALUE), 0.0)
    return jacobian.T @ ((vectors * inverted) @ vectors.T), float(np.sqrt(max(values[0], 0.0)))


def _error(
    step: MotionState, rotation: Float[np.ndarray, "3 3"], position_m: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "6"]:
    """Return the way from a tool pose to the step's; the rotation to first order in its sine."""
    (dx, dy, dz), turn = (step.linear.position - position_m).tolist(), (step.rotation @ rotation.T).tolist()
    return np.array(
        [
            dx,
            dy,
            dz,
            0.5 * (turn[2][1] - turn[1][2]),
            0.5 * (turn[0][2] - turn[2][0]),
            0.5 * (turn[1][0] - turn[0][1]),
        ]
    )


def _towards(
    now: Float[np.ndarray, "7"], wanted: Float[np.ndarray, "7"], largest: float
) -> Float[np.ndarray, "7"]:
    """Return `wanted`, or the point at most `largest` from `now` on the way to it."""
    way = wanted - now
    size = float(np.linalg.norm(way))
    return wanted if size <= largest else now + way * (largest / size)
