"""A commanded pose that keeps its limits whatever the target does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import ruckig
from jaxtyping import Float

from glue_bringup.safety.config import MotionLimits, WorkspaceBox
from glue_bringup.safety.ramp import Ramp, half_cross, rotations
from glue_perception.geometry import (
    make_transform,
    matrix_from_rotation_6d,
    matrix_from_rotation_vector,
    rotation_6d_from_matrix,
    rotation_vector,
)

ROTATION_MARGIN = 0.95
"""Share of the rotation bounds that is used: the rest covers the curvature of rotations within one tick."""

VELOCITY_MARGIN = 0.99
"""Share of an axis' speed that a target may have, so that something is left to catch up with it."""

MAX_STEP_S = 0.05
"""After a longer pause the motion goes on from where it was instead of leaping ahead."""

BOX_TOLERANCE_M = 1e-6
RAMP_GAP_S = 0.03
"""At most this between two points of a ramp, beside the corners of its acceleration."""

RAMP_MERGE_S = 1e-3
"""Corners that lie closer together count as one."""


@dataclass(frozen=True, eq=False)
class AxisState:
    """Three independent axes at one instant: position [m or rad], velocity [/s], acceleration [/s^2]."""

    position: Float[np.ndarray, "3"]
    velocity: Float[np.ndarray, "3"]
    acceleration: Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class MotionState:
    """The commanded tool at one instant, base frame.

    Attributes:
        rotation: R_base_ee.
        linear: Position [m], velocity and acceleration.
        angular_velocity: In rad/s.
        angular_acceleration: In rad/s^2.
    """

    rotation: Float[np.ndarray, "3 3"]
    linear: AxisState
    angular_velocity: Float[np.ndarray, "3"]
    angular_acceleration: Float[np.ndarray, "3"]

    @property
    def T_base_ee(self) -> Float[np.ndarray, "4 4"]:
        """The pose."""
        return make_transform(self.rotation, self.linear.position)

    @property
    def angular(self) -> AxisState:
        """The rotation vector and its derivatives in the chart around the present orientation."""
        return AxisState(np.zeros(3), self.angular_velocity, self.angular_acceleration)

    @property
    def twist(self) -> Float[np.ndarray, "6"]:
        """Linear [m/s] and angular [rad/s] velocity."""
        return np.concatenate([self.linear.velocity, self.angular_velocity])

    @property
    def twist_change(self) -> Float[np.ndarray, "6"]:
        """Linear [m/s^2] and angular [rad/s^2] acceleration."""
        return np.concatenate([self.linear.acceleration, self.angular_acceleration])


class AxisTriple:
    """Time-optimal motion of three independent axes within velocity, acceleration and jerk, by Ruckig.

    Args:
        velocity: Bound of the Euclidean norm; each axis gets it divided by sqrt(3).
        acceleration: The same for the acceleration.
        jerk: The same for the jerk.
    """

    def __init__(self, velocity: float, acceleration: float, jerk: float) -> None:
        self.axis_velocity = velocity / math.sqrt(3.0)
        self._otg = ruckig.Ruckig(3)
        self._trajectory = ruckig.Trajectory(3)
        self._chase = self._make_input(acceleration, jerk, ruckig.ControlInterface.Position)
        self._chase.target_position = [0.0, 0.0, 0.0]
        self._brake = self._make_input(acceleration, jerk, ruckig.ControlInterface.Velocity)
        self._brake.current_position = [0.0, 0.0, 0.0]
        self._brake.target_velocity = [0.0, 0.0, 0.0]
        self._braking: AxisState | None = None
        """From where the trajectory brakes; None if it does something else."""

    @staticmethod
    def _make_input(
        acceleration: float, jerk: float, interface: ruckig.ControlInterface
    ) -> ruckig.InputParameter:
        values = ruckig.InputParameter(3)
        values.control_interface = interface
        # Each axis on its own: none waits for a slower one, and each can be checked against the box alone.
        values.synchronization = ruckig.Synchronization.No
        values.max_acceleration = [acceleration / math.sqrt(3.0)] * 3
        values.max_jerk = [jerk / math.sqrt(3.0)] * 3
        return values

    def chase(
        self,
        state: AxisState,
        target: Float[np.ndarray, "3"],
        target_velocity: Float[np.ndarray, "3"],
        dt_s: float,
        speed_share: float = 1.0,
    ) -> AxisState:
        """Return the state `dt_s` later on the fastest way to meet a target in uniform motion.

        The meeting is planned in the target's own moving frame, where it stands still and the speed bounds are
        shifted by its velocity; so a target within the limits is met without lag, and never passed through.

        Args:
            state: Now.
            target: Where the target will be after `dt_s`.
            target_velocity: Its velocity.
            dt_s: Time step.
            speed_share: Share of the velocity bound that may be used; what is faster brakes to it first.
        """
        speed = speed_share * self.axis_velocity
        bound = VELOCITY_MARGIN * speed
        drift = np.minimum(np.maximum(target_velocity, -bound), bound)
        start = target - drift * dt_s
        values = self._chase
        values.current_position = state.position - start
        values.current_velocity = state.velocity - drift
        values.current_acceleration = state.acceleration
        values.max_velocity = speed - drift
        values.min_velocity = -speed - drift
        self._braking = None
        try:
            self._otg.calculate(values, self._trajectory)
        except (ruckig.RuckigError, ValueError):
            # No plan is found once in a great many cases on the border of the limits; braking is always possible.
            # Some of Ruckig's failures are codes that its binding has no name for, which come as ValueError.
            return self.brake(state, dt_s)
        position, velocity, acceleration = self._trajectory.at_time(dt_s)
        return AxisState(
            np.array(position) + target, np.array(velocity) + drift, np.array(acceleration, dtype=np.float64)
        )

    def brake(self, state: AxisState, dt_s: float) -> AxisState:
        """Return the state `dt_s` later on the fastest way to rest."""
        self._plan_brake(state)
        way, velocity, acceleration = self._trajectory.at_time(dt_s)
        return AxisState(state.position + np.array(way), np.array(velocity), np.array(acceleration))

    def brake_corners_s(self, state: AxisState) -> list[float]:
        """Return the times at which an axis' jerk changes on the fastest way to rest, and that of the rest."""
        self._plan_brake(state)
        corners = [float(self._trajectory.duration)]
        for profile in self._trajectory.profiles[0]:
            time_s = 0.0
            for part_s in (*profile.brake.t, *profile.t):
                if part_s > 0.0:
                    time_s += part_s
                    corners.append(time_s)
        return corners

    def brake_ramp(self, state: AxisState, times_s: Sequence[float]) -> Float[np.ndarray, "n 3 3"]:
        """Return way, velocity and acceleration on the fastest way to rest at the given times from now."""
        self._plan_brake(state)
        duration_s, at_time = self._trajectory.duration, self._trajectory.at_time
        return np.array([at_time(min(time_s, duration_s)) for time_s in times_s])

    def braking_reach(self, state: AxisState) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Return the lowest and highest position of each axis on the fastest way to rest."""
        self._plan_brake(state)
        extrema = self._trajectory.position_extrema
        low, high = np.array([e.min for e in extrema]), np.array([e.max for e in extrema])
        return state.position + low, state.position + high

    def _plan_brake(self, state: AxisState) -> None:
        if state is self._braking:  # a step is asked for its reach, its corners and its ramp
            return
        # From zero, as Ruckig counts zero among the extrema of a velocity plan wherever it starts.
        values, self._braking = self._brake, None
        values.current_velocity = state.velocity
        values.current_acceleration = state.acceleration
        self._otg.calculate(values, self._trajectory)
        self._braking = state


class MotionLimiter:
    """The commanded pose: follows a moving target and keeps its bounds by construction.

    Translation: three axes of the base frame, each with the bound divided by sqrt(3), so that the norm keeps the
    bound in every direction. The box is kept too: a step is taken only if the arm can still stop inside it,
    otherwise that axis brakes. (A start outside the box may only approach it.)

    Rotation: the same for the rotation vector, in the base frame, from the orientation of the last tick to the next.
    Each tick starts a new chart at the current orientation, where the rotation vector's first two derivatives are the
    angular velocity and acceleration; within one tick they differ by less than `ROTATION_MARGIN` leaves.

    No thread and no clock of its own; the caller passes the time step.

    Args:
        limits: Bounds of the motion.
        box: Where the tool centre point may be commanded to.
    """

    def __init__(self, limits: MotionLimits, box: WorkspaceBox) -> None:
        self._translation = AxisTriple(
            limits.translation_velocity_m_s,
            limits.translation_acceleration_m_s2,
            limits.translation_jerk_m_s3,
        )
        self._rotation = AxisTriple(
            ROTATION_MARGIN * limits.rotation_velocity_rad_s,
            ROTATION_MARGIN * limits.rotation_acceleration_rad_s2,
            ROTATION_MARGIN * limits.rotation_jerk_rad_s3,
        )
        self._low_m, self._high_m = np.array(box.min_m), np.array(box.max_m)
        self.reset(np.eye(4))

    def reset(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Be at rest at a pose."""
        rotation = matrix_from_rotation_6d(rotation_6d_from_matrix(T_base_ee[:3, :3]))
        zero = np.zeros(3)
        self._state = MotionState(rotation, AxisState(np.array(T_base_ee[:3, 3]), zero, zero), zero, zero)

    @property
    def pose(self) -> Float[np.ndarray, "4 4"]:
        """The commanded pose T_base_ee."""
        return self._state.T_base_ee

    @property
    def state(self) -> MotionState:
        """The commanded pose and its derivatives."""
        return self._state

    @property
    def at_rest(self) -> bool:
        """Whether the commanded pose stands still (below 0.1 mm/s and 0.1 mrad/s)."""
        state = self._state
        return bool(np.abs(state.twist).max() < 1e-4 and np.abs(state.twist_change).max() < 1e-2)

    def follow(
        self,
        T_base_target: Float[np.ndarray, "4 4"],
        linear_velocity_m_s: Float[np.ndarray, "3"],
        angular_velocity_rad_s: Float[np.ndarray, "3"],
        dt_s: float,
        speed_share: float = 1.0,
    ) -> Float[np.ndarray, "4 4"]:
        """Advance by `dt_s` towards a moving target and return the commanded pose.

        Args:
            T_base_target: Where the target is at the end of this step.
            linear_velocity_m_s: Its velocity, base frame.
            angular_velocity_rad_s: Its angular velocity, base frame.
            dt_s: Time since the last call; more than `MAX_STEP_S` counts as that.
            speed_share: Share of the velocity bounds that may be used.
        """
        self.take(
            self.plan_follow(T_base_target, linear_velocity_m_s, angular_velocity_rad_s, dt_s, speed_share)
        )
        return self.pose

    def brake(self, dt_s: float) -> Float[np.ndarray, "4 4"]:
        """Advance by `dt_s` on the fastest way to rest and return the commanded pose."""
        self.take(self.plan_brake(dt_s))
        return self.pose

    def take(self, state: MotionState) -> None:
        """Be in a state that `plan_follow` or `plan_brake` has just returned."""
        self._state = state

    def plan_follow(
        self,
        T_base_target: Float[np.ndarray, "4 4"],
        linear_velocity_m_s: Float[np.ndarray, "3"],
        angular_velocity_rad_s: Float[np.ndarray, "3"],
        dt_s: float,
        speed_share: float = 1.0,
    ) -> MotionState:
        """Return the state that `follow` would advance to."""
        dt_s = min(max(dt_s, 0.0), MAX_STEP_S)
        now = self._state
        if dt_s == 0.0:
            return now
        wanted = self._translation.chase(
            now.linear, T_base_target[:3, 3], linear_velocity_m_s, dt_s, speed_share
        )
        turn = rotation_vector(T_base_target[:3, :3] @ now.rotation.T)
        turned = self._rotation.chase(now.angular, turn, angular_velocity_rad_s, dt_s, speed_share)
        return _turned(now.rotation, self._kept_in_box(wanted, dt_s), turned)

    def plan_brake(self, dt_s: float) -> MotionState:
        """Return the state that `brake` would advance to."""
        dt_s = min(max(dt_s, 0.0), MAX_STEP_S)
        now = self._state
        if dt_s == 0.0:
            return now
        return _turned(
            now.rotation,
            self._translation.brake(now.linear, dt_s),
            self._rotation.brake(now.angular, dt_s),
        )

    def ramp(self, state: MotionState) -> Ramp:
        """Return points on the fastest way from `state` to rest.

        The tool's acceleration is linear in time between the corners of this way, so these are among the points:
        what depends on it has its extremes there, or close by where the arm's posture changes.
        """
        linear, angular = state.linear, state.angular
        corners_s = self._translation.brake_corners_s(linear) + self._rotation.brake_corners_s(angular)
        times_s = _merged(corners_s)
        ways = self._translation.brake_ramp(linear, times_s)
        turns = self._rotation.brake_ramp(angular, times_s)
        turn, rate, change = turns[:, 0], turns[:, 1], turns[:, 2]
        return Ramp(
            time_s=np.array(times_s),
            position_m=state.linear.position + ways[:, 0],
            rotation=rotations(turn) @ state.rotation,
            way=np.concatenate([ways[:, 0], turn], axis=1),
            twist=np.concatenate([ways[:, 1], rate + half_cross(turn, rate)], axis=1),
            twist_change=np.concatenate([ways[:, 2], change + half_cross(turn, change)], axis=1),
        )

    def _kept_in_box(self, wanted: AxisState, dt_s: float) -> AxisState:
        now = self._state.linear
        low, high = self._translation.braking_reach(wanted)
        lower = np.minimum(self._low_m, now.position) - BOX_TOLERANCE_M
        upper = np.maximum(self._high_m, now.position) + BOX_TOLERANCE_M
        leaves = (low < lower) | (high > upper)
        if not leaves.any():
            return wanted
        braked = self._translation.brake(now, dt_s)
        return AxisState(
            np.where(leaves, braked.position, wanted.position),
            np.where(leaves, braked.velocity, wanted.velocity),
            np.where(leaves, braked.acceleration, wanted.acceleration),
        )


def _turned(rotation: Float[np.ndarray, "3 3"], linear: AxisState, moved: AxisState) -> MotionState:
    """Return the state after a turn, its derivatives expressed in the chart around the new orientation."""
    rotated = matrix_from_rotation_vector(moved.position) @ rotation
    rotated = matrix_from_rotation_6d(rotation_6d_from_matrix(rotated))
    return MotionState(rotated, linear, *_recharted(moved))


def _recharted(moved: AxisState) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Return angular velocity and acceleration from the rotation vector's derivatives.

    The left Jacobian of SO(3) to second order; the turn of one tick is at most some hundredths of a radian.
    """
    turn, rate, change = moved.position, moved.velocity, moved.acceleration
    return rate + _cross(turn, rate) / 2.0, change + _cross(turn, change) / 2.0


def _merged(corners_s: list[float]) -> list[float]:
    """Return the corners in order, close ones merged into the later, wide gaps filled evenly."""
    times_s, before_s = [], 0.0
    ordered_s = sorted(corners_s)
    for corner_s, next_s in itertools.pairwise([*ordered_s, math.inf]):
        if next_s - corner_s < RAMP_MERGE_S:
            continue
        parts = math.ceil((corner_s - before_s) / RAMP_GAP_S)
        times_s += [before_s + (corner_s - before_s) * k / parts for k in range(1, parts)] + [corner_s]
        before_s = corner_s
    return times_s


def _cross(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the cross product; numpy's own takes ten times as long for two vectors."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
