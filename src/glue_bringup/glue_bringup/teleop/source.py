"""A person as the source of actions: 10 times a second a stamped chunk, through the same supervisor as a policy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from glue_bringup.loop.action_source import Decision
from glue_bringup.safety.config import WorkspaceBox
from glue_bringup.teleop.config import TeleopConfig
from glue_bringup.teleop.device import DeviceReading, TeleopDevice
from glue_bringup.teleop.motion import TeleopMotion, TeleopState
from glue_perception.errors import HardwareError
from glue_perception.geometry import (
    make_transform,
    matrix_from_rotation_vector,
    rotation_6d_from_matrix,
    rotation_vector,
)
from glue_perception.timing import Clock, SystemClock
from glue_perception.types import ActionChunk, Observation, RobotState


class TeleopSource:
    """An `ActionSource` that integrates the operator's velocity into an absolute target.

    Action k of a chunk is the target in force at its time, so the target that the operator asks for now is in force
    one period later, as with the scripted expert; what is recorded for a step is the target in force at its stamp.
    Whenever the handle is not followed (see `TeleopState`) the target stays where it is, and the arm with it.

    Args:
        device: Read once per decision.
        config: See there.
        workspace: The target never leaves it, so that pushing on beyond its edge leaves nothing to be undone.
        dt_s: Time between decisions.
        on_state: Told when the state changes: its stamp and the new state.
        clock: For the age of readings.
    """

    def __init__(
        self,
        device: TeleopDevice,
        config: TeleopConfig,
        workspace: WorkspaceBox,
        dt_s: float,
        on_state: Callable[[int, TeleopState], None] = lambda stamp_ns, state: None,
        clock: Clock | None = None,
    ) -> None:
        self._device = device
        self._config = config
        self._low_m, self._high_m = np.array(workspace.min_m), np.array(workspace.max_m)
        self._dt_s = dt_s
        self._on_state = on_state
        self._clock = clock or SystemClock()
        self._state: TeleopState | None = None

    @property
    def state(self) -> TeleopState | None:
        """Whether the handle is followed, and why not; None before the first decision."""
        return self._state

    def reset(self, observation: Observation) -> None:
        """Begin an episode: the target is the current pose and opening."""
        robot = observation.robot_state
        self._motion = TeleopMotion(self._config)
        self._state = None
        self._T_base_ee = np.array(robot.T_base_ee)
        self._width_m = robot.gripper_width_m
        self._is_open = robot.gripper_width_m > (self._config.open_width_m + self._config.closed_width_m) / 2

    def decide(self, observation: Observation) -> Decision:
        """Return the step from the target in force to the next one, held for one more period."""
        motion = self._motion.update(self._reading(), self._clock.now_ns())
        if motion.state is not self._state:
            self._state = motion.state
            self._on_state(observation.stamp_ns, motion.state)
        before, width_before_m = self._T_base_ee, self._width_m
        if motion.toggle_gripper:
            self._is_open = not self._is_open
            self._width_m = self._config.open_width_m if self._is_open else self._config.closed_width_m
        self._T_base_ee = self._next(observation.robot_state, motion.linear_m_s, motion.angular_rad_s)
        poses = np.stack([before, self._T_base_ee, self._T_base_ee])
        widths_m = np.array([width_before_m, self._width_m, self._width_m])
        chunk = self._chunk(observation.stamp_ns, poses, widths_m)
        return Decision(chunk, self._chunk(observation.stamp_ns, poses[:1], widths_m[:1]))

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Do nothing: the operator's targets follow each other without a seam."""

    def note_held(self, now_ns: int) -> None:
        """Do nothing: the operator's targets begin at the arm, wherever it was held."""

    def _reading(self) -> DeviceReading | None:
        try:
            return self._device.read()
        except HardwareError:
            return None

    def _next(
        self,
        robot: RobotState,
        linear_m_s: Float[np.ndarray, "3"],
        angular_rad_s: Float[np.ndarray, "3"],
    ) -> Float[np.ndarray, "4 4"]:
        """Return the next target: within the workspace, and no further from the tool than it may be."""
        if not (np.any(linear_m_s) or np.any(angular_rad_s)):
            return self._T_base_ee
        position_m = self._T_base_ee[:3, 3] + linear_m_s * self._dt_s
        lead_m = position_m - robot.T_base_ee[:3, 3]
        position_m = robot.T_base_ee[:3, 3] + lead_m * _share(lead_m, self._config.max_lead_m)
        position_m = np.clip(position_m, self._low_m, self._high_m)
        rotation = matrix_from_rotation_vector(angular_rad_s * self._dt_s) @ self._T_base_ee[:3, :3]
        turn = rotation_vector(rotation @ robot.T_base_ee[:3, :3].T)
        share = _share(turn, self._config.max_lead_rad)
        if share < 1.0:
            rotation = matrix_from_rotation_vector(turn * share) @ robot.T_base_ee[:3, :3]
        return make_transform(rotation, position_m)

    def _chunk(
        self, stamp_ns: int, poses: Float[np.ndarray, "h 4 4"], widths_m: Float[np.ndarray, "h"]
    ) -> ActionChunk:
        return ActionChunk(
            stamp_ns=stamp_ns,
            dt_s=self._dt_s,
            position_m=poses[:, :3, 3],
            rotation_6d=rotation_6d_from_matrix(poses[:, :3, :3]),
            gripper_width_m=widths_m,
        )


def _share(vector: Float[np.ndarray, "3"], most: float) -> float:
    """Return by how much to shorten a vector so that it is no longer than `most`."""
    return min(1.0, most / max(float(np.linalg.norm(vector)), 1e-12))
