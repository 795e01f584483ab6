"""Joint limits, singularities, self-collision and the table, kept by construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_bringup.safety.arm_point import ArmPoint, KinematicModel
from glue_bringup.safety.config import JointGuardConfig
from glue_bringup.safety.motion_limiter import MotionState
from glue_bringup.safety.reasons import Reason
from glue_perception.errors import HardwareError
from glue_perception.types import RobotState

RAMP_SPACING_S = 0.06
"""Between two checked points on the way to rest. The shares of the robot's table that are left free cover the rest."""

MAX_TOOL_M = 0.6
"""A tool further than this from the flange is taken for joints and pose that do not belong together."""

TOLERANCE = 1e-9
_LEAST_EIGENVALUE = 1e-6


@dataclass(frozen=True, eq=False)
class JointMotion:
    """The joints at one instant: position [rad], velocity [rad/s], acceleration [rad/s^2]."""

    position: Float[np.ndarray, "7"]
    velocity: Float[np.ndarray, "7"]
    acceleration: Float[np.ndarray, "7"]


class JointGuard:
    """Follows the commanded pose in the joints and refuses steps from which the arm could not stop within its limits.

    The commanded pose is Cartesian. This guard keeps a joint path beneath it: differential inverse kinematics with the
    least joint motion, the elbow drawn slowly to `posture_rad` as the impedance law does. A step is admissible if it
    and the whole ramp to rest after it keep every margin, each at a share of the robot's own table. If not, the arm
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
        zero = np.zeros(7)
        self._now = JointMotion(zero, zero, zero)
        self._null = zero
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
                f"the state's joints put the flange of a {self._model.limits.model.value} {distance_m:.2f} m from its "
                "tool; check robot_model, and the end effector set in Desk"
            )
        self._model.set_tool(tool)
        zero = np.zeros(7)
        self._now, self._null = JointMotion(state.joint_position_rad.copy(), zero, zero), zero
        self._floor = self._new_floor(self._now.position)

    def anchor(self, state: RobotState, commanded: MotionState) -> None:
        """Take over the measured elbow while the arm is at rest; the tool stays where it is commanded to be."""
        zero = np.zeros(7)
        start = JointMotion(state.joint_position_rad.copy(), zero, zero)
        for _ in range(3):
            start = JointMotion(self._reach(start.position, commanded), zero, zero)
        point = self._model.at(start.position)
        if np.abs(_error(commanded, point)).max() < 1e-6:
            self._now, self._null = start, zero
            self._floor = self._new_floor(start.position)

    def measured_fault(self, state: RobotState) -> Reason | None:
        """Return why the measured joints forbid motion, or None."""
        stop = self._config.position_stop_rad
        q = state.joint_position_rad
        if np.any(q < self._low + stop) or np.any(q > self._high - stop):
            return Reason.JOINT_POSITION
        return None

    def refuse(self, step: MotionState, ramp: Sequence[MotionState], dt_s: float) -> Reason | None:
        """Return why a step may not be taken, or None.

        Args:
            step: The commanded tool after the step.
            ramp: Its way to rest, `RAMP_SPACING_S` apart.
            dt_s: Time of the step.
        """
        moved, point = self._follow(self._now, step, dt_s, self._null_motion(dt_s))
        jerk = np.abs(moved.acceleration - self._now.acceleration) / dt_s
        if np.any(jerk > self._jerk):
            return Reason.JOINT_SPEED
        reason = self._outside(moved, point, False)
        last = len(ramp) - 1
        for k, state in enumerate(ramp):
            if reason is not None:
                return reason
            moved, point = self._follow(moved, state, RAMP_SPACING_S, np.zeros(7))
            reason = self._outside(moved, point, k == last)
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
        moved, point = self._follow(self._now, step, dt_s, self._null)
        self._now = moved
        if (self._floor < 0.0).any():
            margins = self._static_margins(moved.position, point, True)
            self._floor = np.minimum(0.0, np.maximum(self._floor, margins))

    def _follow(
        self, start: JointMotion, step: MotionState, dt_s: float, null: Float[np.ndarray, "7"]
    ) -> tuple[JointMotion, ArmPoint]:
        """Return the joints and the tool after a step."""
        position = self._reach(start.position + start.velocity * dt_s, step)
        point = self._model.at(position)
        inverse, _ = _inverse(point.jacobian)
        velocity = inverse @ step.twist + null - inverse @ (point.jacobian @ null)
        point = self._model.at(position, velocity)
        # The elbow's own acceleration is small, and covered by the share of the table that is left free.
        return JointMotion(position, velocity, inverse @ (step.twist_change - point.drift)), point

    def _reach(
        self, position: Float[np.ndarray, "7"], step: MotionState
    ) -> Float[np.ndarray, "7"]:
        """Return joints near `position` whose tool is at the step's pose: two Newton steps."""
        for _ in range(2):
            point = self._model.at(position)
            inverse, _ = _inverse(point.jacobian)
            position = position + inverse @ _error(step, point)
        return position

    def _null_motion(self, dt_s: float) -> Float[np.ndarray, "7"]:
        """Return the elbow's velocity towards its posture, slow and without a step."""
        config = self._config
        pull = config.posture_rate_s * (self._posture - self._now.position)
        point = self._model.at(self._now.position)
        inverse, _ = _inverse(point.jacobian)
        pull = pull - inverse @ (point.jacobian @ pull)
        size = float(np.linalg.norm(pull))
        if size > config.posture_speed_rad_s:
            pull = pull * (config.posture_speed_rad_s / size)
        return _towards(self._null, pull, config.posture_acceleration_rad_s2 * dt_s)

    def _null_decayed(self, dt_s: float) -> Float[np.ndarray, "7"]:
        return _towards(self._null, np.zeros(7), self._config.posture_acceleration_rad_s2 * dt_s)

    def _outside(self, moved: JointMotion, point: ArmPoint, with_links: bool) -> Reason | None:
        """Return which margin a point on the path violates, or None."""
        if np.any(np.abs(moved.velocity) > self._velocity) or np.any(
            np.abs(moved.acceleration) > self._acceleration
        ):
            return Reason.JOINT_SPEED
        margins = self._static_margins(moved.position, point, with_links)
        bad = margins < self._floor[: len(margins)] - TOLERANCE
        if not bad.any():
            return None
        first = int(np.argmax(bad))
        if first < 14:
            return Reason.JOINT_MARGIN
        return (Reason.SINGULARITY, Reason.SELF_COLLISION, Reason.TABLE)[first - 14]

    def _static_margins(
        self, position: Float[np.ndarray, "7"], point: ArmPoint, with_links: bool
    ) -> Float[np.ndarray, "n"]:
        """Return by how much each margin is kept: joints' ends, smallest singular value, links, table."""
        config = self._config
        margin = config.position_margin_rad
        _, least = _inverse(point.jacobian)
        values = [*(position - self._low - margin), *(self._high - margin - position)]
        values.append(least - config.min_singular_value)
        if with_links:
            values.append(self._model.clearance_m(position) - config.self_collision_margin_m)
            if config.table_height_m is not None:
                values.append(self._model.lowest_m(position) - config.table_height_m)
        return np.array(values)

    def _new_floor(self, position: Float[np.ndarray, "7"]) -> Float[np.ndarray, "n"]:
        """Return what each margin must at least keep: zero, or what it is if it is violated already."""
        return np.minimum(0.0, self._static_margins(position, self._model.at(position), True))


def _inverse(jacobian: Float[np.ndarray, "6 7"]) -> tuple[Float[np.ndarray, "7 6"], float]:
    """Return the pseudo-inverse and the smallest singular value; directions that are all but lost give no motion."""
    values, vectors = np.linalg.eigh(jacobian @ jacobian.T)
    inverted = np.where(values > _LEAST_EIGENVALUE, 1.0 / np.maximum(values, _LEAST_EIGENVALUE), 0.0)
    return jacobian.T @ ((vectors * inverted) @ vectors.T), float(np.sqrt(max(values[0], 0.0)))


def _error(step: MotionState, point: ArmPoint) -> Float[np.ndarray, "6"]:
    """Return the way from the tool to the step's pose; the rotation to first order in its sine."""
    turn = step.rotation @ point.rotation.T
    return np.array(
        [
            *(step.linear.position - point.position_m),
            0.5 * (turn[2, 1] - turn[1, 2]),
            0.5 * (turn[0, 2] - turn[2, 0]),
            0.5 * (turn[1, 0] - turn[0, 1]),
        ]
    )


def _towards(
    now: Float[np.ndarray, "7"], wanted: Float[np.ndarray, "7"], largest: float
) -> Float[np.ndarray, "7"]:
    """Return `wanted`, or the point at most `largest` from `now` on the way to it."""
    way = wanted - now
    size = float(np.linalg.norm(way))
    return wanted if size <= largest else now + way * (largest / size)
