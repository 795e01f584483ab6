"""The bench of the inputs in real time: the robot's own driver, and the simulated robot behind its protocol."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np

from glue_bringup.arm.franky_arm import FrankyArm
from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import FR3
from glue_bringup.faults.bench import ACTIVE, TICK_NS, SafetyBench
from glue_bringup.faults.motion_audit import motion_times_ns, out_of_place, steps
from glue_bringup.gripper.renewable import RenewableGripper
from glue_bringup.recording.episode_recorder import EpisodeRecorder
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.supervisor import Command
from glue_perception.cameras.base import Camera
from glue_perception.errors import HardwareError
from glue_perception.timing import NS_PER_S
from glue_perception.types import RobotState

TICK_S = TICK_NS / NS_PER_S
CALM_TICKS, PATIENCE_S = 10, 60.0
AT_HOME_M, NEAR_HOME_M = 0.001, 0.03
"""Of the commanded and of the measured tool, which follows by impedance."""

CAMERA_TIMEOUT_S = 1.0


class FrameWatch:
    """Reads a camera in a thread of its own and keeps the stamps of its frames [ns].

    Args:
        camera: Read by nobody else until `stop`.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._stamps_ns: deque[int] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="frame-watch", daemon=True)
        self._thread.start()

    def take(self) -> list[int]:
        """Return the stamps that came since the last call."""
        return [self._stamps_ns.popleft() for _ in range(len(self._stamps_ns))]

    def stop(self) -> None:
        """Let the camera go."""
        self._stopping.set()
        self._thread.join(2.0 * CAMERA_TIMEOUT_S)

    def _read(self) -> None:
        while not self._stopping.is_set():
            try:
                frame = self._camera.read(CAMERA_TIMEOUT_S)
            except HardwareError:  # a frozen or killed robot gives no pictures; control finds out by itself
                self._stopping.wait(TICK_S)
                continue
            if frame is not None:
                self._stamps_ns.append(frame.stamp_ns)


class ProtocolBench(SafetyBench):
    """A `SafetyBench` in real time, whose arm is the twin's behind its protocol, by the robot's own driver.

    Frames are the twin's camera's, with their own stamps; chunks carry the stamp of the newest. Faults of the inputs
    come in between driver, camera and supervisor. Built under control; `end` and `begin` may alternate.

    Args:
        arm: Connected, not started. Its pose is the one to come home to.
        gripper: Connected.
        camera: Of the same twin.
        config: Settings; the limits of its watchdogs should be `PROMPT`.

    Attributes:
        camera: May be replaced between `end` and `begin`.
        recorder: Gets what the driver reports, what the arm is told and every intervention; None: nobody does.
        offered: How many messages of each kind it was given.
        stamps_ns: What the supervisor's clock said at each tick.
        given_s: When each command had been given, by the steady clock.
    """

    def __init__(
        self, arm: FrankyArm, gripper: RenewableGripper, camera: Camera, config: SafetyConfig
    ) -> None:
        self.arm, self.gripper, self.camera = arm, gripper, camera
        self.recorder: EpisodeRecorder | None = None
        self.offered: Counter[str] = Counter()
        self._watch: FrameWatch | None = None
        self._clock_offset_ns = 0
        self._homing = False
        super().__init__(FR3, config)

    def begin(self) -> None:
        """Take control where the arm is and begin an episode; HardwareError if the robot refuses."""
        self.end()
        self.arm.start()
        self.gripper.start()
        self._watch = FrameWatch(self.camera)
        self._read_arm()
        self._seen_ns = self._start_ns = self.now_ns
        self._due_s = time.perf_counter()
        self.stamps_ns: list[int] = []
        self.given_s: list[float] = []
        super().begin()

    def end(self) -> None:
        """Bring the arm to rest and let camera and gripper go."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self.arm.stop()
        self.gripper.stop()

    def recover(self) -> None:
        """Clear the robot's faults, connect again where needed, and begin; HardwareError if the robot refuses."""
        self.end()
        self.arm.recover()
        self.begin()

    def run_until_calm(self) -> bool:
        """Run until the arm has moved for a while without a hold; return whether it did in `PATIENCE_S`."""
        return self._run_until(lambda: True)

    def come_home(self) -> bool:
        """Bring the arm to rest where it was when the bench was built; return whether it came in `PATIENCE_S`."""
        self._homing = True
        try:
            return self._run_until(self._at_home)
        finally:
            self._homing = False

    def audit(self) -> list[str]:
        """Return what was wrong with the motion that was commanded since `begin`; empty if nothing was."""
        poses = [command.T_base_ee for command in self.commands]
        stamps_ns, joints_rad = motion_times_ns(self.stamps_ns), self.joints_rad[3:]
        found = steps(poses, stamps_ns, self.config)
        # Where the arm rested, the joint path begins anew from the measured joints.
        ends = [0, *(index - 3 for index in self.anchors), len(joints_rad)]
        for low, high in itertools.pairwise(ends):
            part = slice(low, high)
            found += steps(poses[part], stamps_ns[part], self.config, joints_rad[part], FR3)
        return found + out_of_place(poses, joints_rad, FR3, self.config)

    def tick(self) -> Command:
        """Run one tick of control and sleep to the next; HardwareError of the driver."""
        self.stamps_ns.append(self.now_ns)
        return super().tick()

    def step_clock(self, offset_s: float) -> None:
        """Set the computer's clock forward or back."""
        super().step_clock(offset_s)
        self._clock_offset_ns += round(offset_s * NS_PER_S)

    def _run_until(self, reached: Callable[[], bool]) -> bool:
        calm, deadline_s = 0, time.monotonic() + PATIENCE_S
        while calm < CALM_TICKS and time.monotonic() < deadline_s:
            active = self.tick().mode is ACTIVE
            calm = calm + 1 if active and reached() else 0
        return calm >= CALM_TICKS

    def _at_home(self) -> bool:
        home_m = self._start[:3, 3]
        commanded_m, measured_m = self.commands[-1].T_base_ee[:3, 3], self._state.T_base_ee[:3, 3]
        return bool(
            np.linalg.norm(commanded_m - home_m) < AT_HOME_M
            and np.linalg.norm(measured_m - home_m) < NEAR_HOME_M
        )

    def _read_arm(self) -> None:
        """Read the driver, and the clock after it, as control does."""
        self._true = self.arm.state()
        self.now_ns = time.time_ns() + self._clock_offset_ns

    def _place_arm(self, model: ArmKinematics) -> None:
        self._start = self.arm.state().T_base_ee

    def _arm_state(self) -> RobotState:
        return self._true

    def _state_stamp_ns(self, true: RobotState) -> int:
        return true.stamp_ns + self._clock_offset_ns

    def _frame_stamps_ns(self) -> list[int]:
        if self._watch is None:
            return []
        stamps_ns = [stamp_ns + self._clock_offset_ns for stamp_ns in self._watch.take()]
        self._seen_ns = max([self._seen_ns, *stamps_ns])
        return stamps_ns

    def _chunk_values(self) -> dict[str, Any]:
        self._elapsed_s = 0.0 if self._homing else max(0, self._seen_ns - self._start_ns) / NS_PER_S
        values = super()._chunk_values()
        if self._homing:
            values["position_m"] = np.tile(self._start[:3, 3], (len(values["position_m"]), 1))
        return values | {"stamp_ns": self._seen_ns}

    def _move_arm(self, command: Command) -> None:
        self.arm.set_target(command.T_base_ee)
        self.gripper.command(command.gripper_width_m)
        self.given_s.append(time.perf_counter())
        self._record(command)

    def _record(self, command: Command) -> None:
        events, recorder = self.supervisor.drain_events(), self.recorder
        if recorder is None:
            return
        recorder.robot_state(self._true)
        recorder.target(self.now_ns, command.T_base_ee)
        for event in events:
            recorder.safety_event(event.stamp_ns, event.mode.value, event.reason)
        self.offered.update(robot_state=1, target=1, safety_event=len(events))

    def _pass_time(self) -> None:
        # One tick that came late may be made up for, never a burst.
        self._due_s = max(self._due_s + TICK_S, time.perf_counter() - TICK_S)
        time.sleep(max(0.0, self._due_s - time.perf_counter()))
        self._read_arm()
