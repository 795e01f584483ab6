"""The real-time loop around a robot and a camera that exist only here, with threads and a disk that can fail."""

from __future__ import annotations

import errno
import io
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD
from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import FR3, RobotModel
from glue_bringup.faults.bench import HAND_M, PROMPT
from glue_bringup.loop.action_source import Decision
from glue_bringup.loop.no_perception import NoPerception
from glue_bringup.loop.realtime_loop import RealtimeLoop, Robot
from glue_bringup.recording.episode_recorder import EpisodeRecorder
from glue_bringup.task_config import load_task
from glue_perception.cameras.base import Camera
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, Observation, RobotState

WARM_UP_TICKS = 60
HOLD_TICKS, FAULT_TICKS, AFTER_TICKS = 40, 100, 40
DURATION_S = 60.0
WATCHDOGS = replace(PROMPT, max_deadman_age_s=None)


class Switchboard:
    """Which fault is on. Any thread."""

    def __init__(self) -> None:
        self.on = threading.Event()
        self.fault = ""

    def is_on(self, fault: str) -> bool:
        """Return whether this fault is on now."""
        return self.fault == fault and self.on.is_set()

    def wait_while(self, fault: str) -> None:
        """Hang as long as this fault is on."""
        while self.is_on(fault):
            time.sleep(0.005)


class PerfectArm:
    """Is where it was told to be."""

    def __init__(self) -> None:
        home = np.array(PANDA_HOME_RAD)
        hand = make_transform(np.eye(3), np.array([0.0, 0.0, HAND_M]))
        self.home, self.T = home, ArmKinematics(FR3).flange_pose(home) @ hand

    def start(self) -> None:
        """Nothing to start."""

    def state(self) -> RobotState:
        """Return where it is."""
        return RobotState(time.time_ns(), self.home, np.zeros(7), self.T, 0.04)

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Be there."""
        self.T = np.array(T_base_ee)

    def stop(self) -> None:
        """Stand."""


class StillGripper:
    """Does nothing."""

    def command(self, width_m: float) -> None:
        """Take note of nothing."""

    def width_m(self) -> float:
        """Return the opening."""
        return 0.04

    def stop(self) -> None:
        """Nothing to stop."""


class GreyCamera:
    """30 pictures a second."""

    def __init__(self, faults: Switchboard) -> None:
        self._faults = faults
        self._rgb = np.full((48, 64, 3), 120, np.uint8)
        self._K = np.array([[60.0, 0.0, 32.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]])

    def read(self, timeout_s: float) -> CameraFrame | None:
        """Return the next picture, or None where the stream has ended."""
        time.sleep(1 / 30)
        if self._faults.is_on("camera process ends"):
            return None
        return CameraFrame(time.time_ns(), "camera", self._rgb.copy(), self._K)

    def close(self) -> None:
        """Nothing to close."""


class SwitchedCamera:
    """Another camera, whose stream can end."""

    def __init__(self, camera: Camera, faults: Switchboard) -> None:
        self._camera, self._faults = camera, faults

    def read(self, timeout_s: float) -> CameraFrame | None:
        """Return the next picture, or None where the stream has ended."""
        frame = self._camera.read(timeout_s)
        return None if self._faults.is_on("camera process ends") else frame

    def close(self) -> None:
        """Leave the other camera open."""


class Perception(NoPerception):
    """Finds nothing, and can fail."""

    def __init__(self, faults: Switchboard) -> None:
        self._faults = faults

    def update(self, frame: CameraFrame) -> KeyPatches:
        """Return no key-patches."""
        if self._faults.is_on("perception thread dies"):
            raise RuntimeError("perception failed on purpose")
        self._faults.wait_while("perception thread hangs")
        patches = super().update(frame)
        count = 4
        return replace(
            patches,
            row_col=np.zeros((count, 2), np.int64),
            xy_px=np.zeros((count, 2)),
            visible=np.ones(count, np.bool_),
            health=np.zeros(count, np.int64),
            query_index=np.zeros(count, np.int64),
        )


class Policy:
    """Chunks along a slow circle; can fail."""

    def __init__(self, faults: Switchboard, start: Float[np.ndarray, "4 4"]) -> None:
        self._faults, self._start = faults, start

    def reset(self, observation: Observation) -> None:
        """Begin."""
        self._start_ns = observation.stamp_ns

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Take note of nothing."""

    def note_held(self, now_ns: int) -> None:
        """Take note of nothing."""

    def decide(self, observation: Observation) -> Decision:
        """Return the next chunk."""
        if self._faults.is_on("policy thread dies"):
            raise RuntimeError("the policy failed on purpose")
        self._faults.wait_while("policy thread hangs")
        phase = 2.0 * ((observation.stamp_ns - self._start_ns) / 1e9 + 0.1 * np.arange(16))
        way_m = 0.05 * np.stack([1.0 - np.cos(phase), np.sin(phase), 0.0 * phase], axis=1)
        rotation_6d = np.tile(rotation_6d_from_matrix(self._start[:3, :3]), (16, 1))
        position_m = self._start[:3, 3] + way_m
        return Decision(ActionChunk(observation.stamp_ns, 0.1, position_m, rotation_6d, np.full(16, 0.04)))


class Disk(io.FileIO):
    """A file on a disk that can be full or hang."""

    faults: Switchboard

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Write, wait, or refuse."""
        if self.faults.is_on("disk full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.faults.wait_while("disk hangs")
        return super().write(data)


class WatchedRecorder(EpisodeRecorder):
    """Records as in any episode, and turns the fault on and off by ticks of control.

    Attributes:
        targets: Poses handed to the arm, one per tick.
        stamps_ns: Their times.
        events: Tick, mode and reason of every decision.
        fault_tick: When the fault came; None if it did not yet.
    """

    def watch(self, faults: Switchboard, heals: bool) -> None:
        """Turn the fault on once the arm moves; and off again while it is held, if `heals`."""
        self._faults, self._heals = faults, heals
        self.targets: list[Float[np.ndarray, "4 4"]] = []
        self.stamps_ns: list[int] = []
        self.events: list[tuple[int, str, str]] = []
        self.fault_tick: int | None = None
        self._calm = 0

    @property
    def hold(self) -> tuple[int, str] | None:
        """Tick and reason of the first hold after the fault."""
        after = (e for e in self.events if self.fault_tick is not None and e[0] > self.fault_tick)
        return next(((tick, reason) for tick, mode, reason in after if mode != "active"), None)

    @property
    def moves_again(self) -> bool:
        """Whether the arm moved again after the hold."""
        hold = self.hold
        return hold is not None and any(e[0] > hold[0] and e[1] == "active" for e in self.events)

    @property
    def endured(self) -> bool:
        """Whether the fault has come and gone without a hold."""
        over = None if self.fault_tick is None else self.fault_tick + FAULT_TICKS + AFTER_TICKS
        return over is not None and len(self.targets) >= over and self.hold is None

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Record, and see whether it is time for the fault."""
        super().target(stamp_ns, T_base_ee)
        self.targets.append(np.array(T_base_ee))
        self.stamps_ns.append(stamp_ns)
        tick, hold = len(self.targets), self.hold
        self._calm = self._calm + 1 if self.events and self.events[-1][1] == "active" else 0
        if self.fault_tick is None and tick >= WARM_UP_TICKS and self._calm >= 3:
            self.fault_tick = tick
            self._faults.on.set()
        if self._heals and self.fault_tick is not None:
            end = self.fault_tick + FAULT_TICKS if hold is None else hold[0] + HOLD_TICKS
            if tick >= end:
                self._faults.on.clear()

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Record."""
        super().safety_event(stamp_ns, mode, reason)
        self.events.append((len(self.targets), mode, reason))


def fly(fault: str, heals: bool, bag: Path, robot: Robot | None = None) -> tuple[WatchedRecorder, str]:
    """Fly with one fault; return what was recorded, and the error that ended the episode, if one did.

    Args:
        fault: As its part asks the switchboard for it.
        heals: Whether the fault goes away again while the arm is held.
        bag: Gets the episode.
        robot: Connected, not started; one that exists only here by default.
    """
    faults = Switchboard()
    faults.fault = fault
    task = replace(load_task("push_button").for_simulation(), max_duration_s=DURATION_S, settle_s=0.1)
    task = replace(task, safety=replace(task.safety, watchdogs=WATCHDOGS))
    if robot is None:
        robot = Robot(PerfectArm(), StillGripper(), GreyCamera(faults), RobotModel.FR3)
    else:
        robot = replace(robot, camera=SwitchedCamera(robot.camera, faults))

    def open_file(path: Path) -> Disk:
        disk = Disk(path, "xb")
        disk.faults = faults
        return disk

    recorder = WatchedRecorder(bag, {}, open_file=open_file)
    recorder.watch(faults, heals)
    loop = RealtimeLoop(
        task,
        robot,
        Perception(faults),
        Policy(faults, robot.arm.state().T_base_ee),
        LatencyRecorder(),
        recorder,
    )
    ended = ""
    try:
        loop.run(0, lambda: recorder.moves_again or recorder.endured)
    except Exception as error:  # whatever a part raises is what the fault came to
        ended = str(error)
    finally:
        faults.on.clear()  # a disk that hung on for ever would never let the record be closed
    return recorder, ended
