"""A supervisor with all its inputs in simulated time, each of which can be made to fail."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD
from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import RobotLimits
from glue_bringup.safety.config import SafetyConfig, WatchdogConfig
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.safety.supervisor import Command, SafetySupervisor
from glue_perception.errors import InvalidValueError
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.types import ActionChunk, KeyPatches, RobotState

ACTIVE, HOLD = SupervisorMode.ACTIVE, SupervisorMode.HOLD
TICK_NS = 10_000_000
HAND_M = 0.1034

PROMPT = WatchdogConfig(
    max_frame_age_s=0.15,
    max_key_patches_age_s=0.15,
    max_state_age_s=0.05,
    max_chunk_age_s=0.18,
    hold_tracked_share=0.2,
    tracked_share_patience_s=0.1,
    max_deadman_age_s=0.1,
)
"""Every input's own limit short enough for a hold within 0.2 s of its loss. The defaults of `WatchdogConfig` wait
longer for pictures and chunks, since a slow computer is late now and then."""


class SafetyBench:
    """A perfect arm, a camera at 50 Hz, a policy at 20 Hz, a deadman switch and a supervisor at 100 Hz.

    Args:
        limits: Which robot.
        config: Settings; `PROMPT` limits by default.

    Subclasses put another arm, another clock and another camera in the place of these.

    Attributes:
        supervisor: Under test.
        commands: All so far.
        joints_rad: The joint path beneath them.
        anchors: Where in it the arm began to move after a hold, from the joints that were measured then.
        now_ns: Time.
    """

    chunk_ticks = 5

    def __init__(self, limits: RobotLimits, config: SafetyConfig | None = None) -> None:
        self.config = config or SafetyConfig(watchdogs=PROMPT)
        model = ArmKinematics(limits)
        self.supervisor = SafetySupervisor(self.config, limits, model)
        self.now_ns = 1_000_000_000
        self._place_arm(model)
        self.begin()

    def begin(self) -> None:
        """Begin an episode where the arm is, with all inputs well."""
        self.heal()
        self._elapsed_s = 0.0
        self._count = 0
        self._state = self._make_state()
        self.supervisor.reset(self.now_ns, self._state)
        self.commands: list[Command] = []
        self.joints_rad = [self._state.joint_position_rad] * 3
        self.anchors: list[int] = []

    def heal(self) -> None:
        """Take every fault back, but for the clock's and what the operator has stopped."""
        self.frames = self.key_patches = self.chunks = self.states = self.deadman = self.deadman_held = True
        self.frame_age_s = self.state_age_s = self.state_offset_m = self.joint_offset_rad = 0.0
        self.external_force_n = self.joint_velocity_rad_s = 0.0
        self.tracked = 10
        self.spoil_chunk: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values

    def _place_arm(self, model: ArmKinematics) -> None:
        self._home = np.array(PANDA_HOME_RAD)
        self._T = model.flange_pose(self._home) @ make_transform(np.eye(3), np.array([0.0, 0.0, HAND_M]))
        self._start = self._T

    def _arm_state(self) -> RobotState:
        """Return the arm's true state."""
        path = self.supervisor.joint_path
        q = self._home if path is None or self._count == 0 else path.position
        return RobotState(self.now_ns, q, np.zeros(7), self._T, 0.04)

    def _move_arm(self, command: Command) -> None:
        """Have the arm do as it is told for one tick."""
        self._T = command.T_base_ee

    def _state_stamp_ns(self, true: RobotState) -> int:
        """Return what the driver stamps a state with."""
        return self.now_ns

    def _frame_stamps_ns(self) -> list[int]:
        """Return the stamps of the frames that came since the tick before."""
        return [] if self._count % 2 else [self.now_ns]

    def _pass_time(self) -> None:
        """Let time go on to the next tick."""
        self.now_ns += TICK_NS
        self._elapsed_s += TICK_NS / 1e9

    def step_clock(self, offset_s: float) -> None:
        """Set the clock forward or back."""
        self.now_ns += round(offset_s * 1e9)

    def run(self, duration_s: float) -> Command:
        """Run for a time and return the last command."""
        for _ in range(round(duration_s * 1e9 / TICK_NS)):
            self.tick()
        return self.commands[-1]

    def tick(self) -> Command:
        """Advance by 10 ms and return the command."""
        supervisor, now_ns = self.supervisor, self.now_ns
        for stamp_ns in self._frame_stamps_ns():
            if self.frames:
                supervisor.note_frame(stamp_ns - round(self.frame_age_s * 1e9))
            if self.key_patches:
                supervisor.note_key_patches(self._make_patches(stamp_ns))
        if self._count % self.chunk_ticks == 0:
            values = self._chunk_values()
            # Where it is not even a chunk, nothing reaches the supervisor.
            with suppress(InvalidValueError):
                if self.chunks:
                    supervisor.submit(ActionChunk(**self.spoil_chunk(values)), now_ns)
        if self.deadman:
            supervisor.note_deadman(now_ns, self.deadman_held)
        if self.states:
            self._state = self._make_state()
        command = supervisor.step(now_ns, self._state)
        self._move_arm(command)
        if self.commands and (self.commands[-1].mode, command.mode) == (HOLD, ACTIVE):
            self.anchors.append(len(self.joints_rad))
        self.commands.append(command)
        path = supervisor.joint_path
        if path is not None:
            self.joints_rad.append(path.position)
        self._count += 1
        self._pass_time()
        return command

    def _make_state(self) -> RobotState:
        true = self._arm_state()
        T = true.T_base_ee.copy()
        T[0, 3] += self.state_offset_m
        q = true.joint_position_rad + np.array([self.joint_offset_rad, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        dq = true.joint_velocity_rad_s + self.joint_velocity_rad_s
        wrench = np.array([0.0, 0.0, self.external_force_n, 0.0, 0.0, 0.0])
        stamp_ns = self._state_stamp_ns(true) - round(self.state_age_s * 1e9)
        return RobotState(stamp_ns, q, dq, T, true.gripper_width_m, wrench)

    def _make_patches(self, stamp_ns: int) -> KeyPatches:
        health = np.where(np.arange(10) < self.tracked, 0, 2)
        cells = np.zeros((10, 2), dtype=np.int64)
        query = np.zeros(10, dtype=np.int64)
        return KeyPatches(stamp_ns, cells, np.zeros((10, 2)), health == 0, health, query)

    def _chunk_values(self) -> dict[str, Any]:
        """Return what the policy's next chunk is made of."""
        times_s = self._elapsed_s + 0.1 * np.arange(8)
        ways = np.stack([0.05 * np.sin(times_s), 0.1 * np.sin(2 * times_s), 0.0 * times_s], axis=1)
        rotation_6d = np.tile(rotation_6d_from_matrix(self._start[:3, :3]), (8, 1))
        return {
            "stamp_ns": self.now_ns,
            "dt_s": 0.1,
            "position_m": self._start[:3, 3] + ways,
            "rotation_6d": rotation_6d,
            "gripper_width_m": np.full(8, 0.04),
        }
