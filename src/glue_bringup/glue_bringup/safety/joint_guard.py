"""Joint limits, singularities, self-collision and the table, kept by construction."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import joint_velocity_bounds
from glue_bringup.safety.clearance_bound import ClearanceBound
from glue_bringup.safety.config import JointGuardConfig
from glue_bringup.safety.joint_path import JointFollower, JointMotion, JointRamp
from glue_bringup.safety.kinematic_model import KinematicModel
from glue_bringup.safety.motion_limiter import MotionState
from glue_bringup.safety.ramp import Ramp
from glue_bringup.safety.reasons import Reason
from glue_perception.errors import HardwareError
from glue_perception.types import RobotState

MAX_TOOL_M = 0.6
"""A tool further than this from the flange is taken for joints and pose that do not belong together."""

TOLERANCE = 1e-9
ANCHOR_TOLERANCE = 1e-6
ENDS = 14
"""Margins of the joints' two ends come first."""

LINKS_EVERY = 4
"""Links and table are checked at every fourth point of a ramp, and where it ends."""


class JointGuard:
    """Follows the commanded pose in the joints and refuses steps from which the arm could not stop within its limits.

    The commanded pose is Cartesian. The guard keeps a joint path beneath it (`JointFollower`), the elbow drawn slowly
    to the measured one: what the tool does not fix is decided by the impedance law. A step is admissible
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
        self._acceleration = config.acceleration_share * np.array(table.joint_acceleration_rad_s2)
        self._jerk = config.jerk_share * np.array(table.joint_jerk_rad_s3)
        # The elbow's acceleration may change its sign at once, and is small.
        self._elbow_change = 2.0 * config.elbow_acceleration_rad_s2
        self._follower = JointFollower(config, model)
        self._posture = np.array(config.posture_rad)
        self._apart = ClearanceBound(model)
        self._now = self._follower.resting(self._posture)
        self._judged: tuple[MotionState, JointMotion] | None = None
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
        self._rest(state.joint_position_rad.copy())

    def anchor(self, state: RobotState, commanded: MotionState) -> None:
        """Take over the measured elbow while the arm is at rest; the tool stays where it is commanded to be."""
        if self._now.null.any():  # the elbow still turns
            return
        start = self._follower.resting(state.joint_position_rad.copy())
        for _ in range(3):
            start = self._follower.resting(self._follower.follow(start, commanded, 0.0, None).position)
        rotation, position_m = self._model.tool_pose(start.position)
        off = np.concatenate(
            [position_m - commanded.linear.position, (rotation - commanded.rotation).ravel()]
        )
        if np.abs(off).max() < ANCHOR_TOLERANCE:
            self._rest(start.position)

    def _rest(self, position: Float[np.ndarray, "7"]) -> None:
        self._now, self._judged = self._follower.resting(position), None
        # What each margin must at least keep: zero, or what it is if it is violated already.
        self._floor = np.minimum(0.0, self._margins(_points(self._now)))

    def measured_fault(self, state: RobotState) -> Reason | None:
        """Return why the measured joints forbid motion, or None."""
        stop = self._config.position_stop_rad
        q = state.joint_position_rad
        if np.any(q < self._low + stop) or np.any(q > self._high - stop):
            return Reason.JOINT_POSITION
        return None

    def refuse(
        self, step: MotionState, ramp: Ramp, dt_s: float, elbow_rad: Float[np.ndarray, "7"] | None = None
    ) -> Reason | None:
        """Return why a step may not be taken, or None; `move` follows if it is taken.

        Args:
            step: The commanded tool after the step.
            ramp: Its way to rest from there.
            dt_s: Time of the step.
            elbow_rad: The measured joints, whose elbow is followed; `posture_rad` without them.
        """
        elbow_rad = self._posture if elbow_rad is None else elbow_rad
        moved = self._follower.follow(self._now, step, dt_s, elbow_rad)
        self._judged = (step, moved)
        way = _points(moved, self._follower.along(moved, ramp))
        gaps_s = np.empty(len(way.acceleration))
        gaps_s[0], gaps_s[1], gaps_s[2:] = dt_s, ramp.time_s[0], ramp.time_s[1:] - ramp.time_s[:-1]
        changes = way.acceleration.copy()
        changes[0] -= self._now.acceleration
        changes[1:] -= way.acceleration[:-1]
        if (
            self._too_fast(way)
            or np.any(np.abs(way.acceleration) > self._acceleration)
            or np.any(np.abs(changes) > self._jerk * gaps_s[:, None] + self._elbow_change)
        ):
            return Reason.JOINT_SPEED
        margins = self._margins(way)
        bad = margins < self._floor - TOLERANCE
        if not bad.any():
            return None
        first = int(np.argmax(bad))
        if first < ENDS:
            return Reason.JOINT_MARGIN
        return (Reason.SINGULARITY, Reason.SELF_COLLISION, Reason.TABLE)[first - ENDS]

    def _too_fast(self, way: JointRamp) -> bool:
        lowest, highest = joint_velocity_bounds(self._model.limits, way.position)
        share = self._config.velocity_share
        return bool(np.any((way.velocity < share * lowest) | (way.velocity > share * highest)))

    def move(self, step: MotionState, dt_s: float) -> None:
        """Go with a step that is taken: the one last judged, or one on the way to rest, where the elbow rests too.

        Args:
            step: The commanded tool after the step.
            dt_s: Time of the step.
        """
        if dt_s <= 0.0:
            return
        judged, self._judged = self._judged, None
        if judged is not None and judged[0] is step:
            self._now = judged[1]
        else:
            self._now = self._follower.follow(self._now, step, dt_s, None)
        if (self._floor < 0.0).any():
            margins = self._margins(_points(self._now))
            self._floor = np.minimum(0.0, np.maximum(self._floor, margins))

    def _margins(self, way: JointRamp) -> Float[np.ndarray, "m"]:
        """Return at least by how much each margin is kept: joints' ends, singular value, links, table."""
        config, margin = self._config, self._config.position_margin_rad
        lowest, highest = way.position.min(axis=0), way.position.max(axis=0)
        values = [*(lowest - self._low - margin), *(self._high - margin - highest)]
        values.append(way.least_singular_value.min() - config.min_singular_value)
        points = way.position[::-LINKS_EVERY]
        apart_m = self._apart.least_m(points, config.self_collision_margin_m)
        values.append(apart_m - config.self_collision_margin_m)
        if config.table_height_m is not None:
            values.append(min(map(self._model.lowest_m, points)) - config.table_height_m)
        return np.array(values)


def _points(now: JointMotion, ramp: JointRamp | None = None) -> JointRamp:
    """Return one instant, and a ramp after it, as one row of points."""
    least = np.array([now.least_singular_value])
    first = JointRamp(now.position[None], now.velocity[None], now.acceleration[None], least)
    if ramp is None:
        return first
    return JointRamp(
        np.concatenate([first.position, ramp.position]),
        np.concatenate([first.velocity, ramp.velocity]),
        np.concatenate([first.acceleration, ramp.acceleration]),
        np.concatenate([least, ramp.least_singular_value]),
    )
