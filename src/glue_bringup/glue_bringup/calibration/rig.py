"""What a latency measurement moves and sees, in whichever host: ticks, targets, states, frames."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.base import ArmDriver
from glue_bringup.gripper.base import Gripper
from glue_perception.cameras.base import Camera
from glue_perception.errors import HardwareError
from glue_perception.types import CameraFrame, RobotState

TICK_S = 0.01


@dataclass(frozen=True)
class SeenFrame:
    """A frame and when the program had it [s, the rig's clock]."""

    frame: CameraFrame
    received_s: float


class LatencyRig(Protocol):
    """Arm, gripper and camera on one clock."""

    def tick(self) -> float:
        """Let a hundredth of a second pass; return the time [s]."""
        ...

    def state(self) -> RobotState:
        """Return the newest state."""
        ...

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set the arm's target."""
        ...

    def command_gripper(self, width_m: float) -> None:
        """Ask for an opening."""
        ...

    def frames(self) -> list[SeenFrame]:
        """Return the frames that came since the last call."""
        ...


class RealtimeRig:
    """A robot, real or simulated at protocol level, in real time. A thread of its own reads the camera.

    Args:
        arm: Started.
        gripper: Connected.
        camera: Started; None measures without.
    """

    def __init__(self, arm: ArmDriver, gripper: Gripper, camera: Camera | None) -> None:
        self._arm, self._gripper = arm, gripper
        self._frames: queue.SimpleQueue[SeenFrame] = queue.SimpleQueue()
        self._due_s = time.perf_counter()
        self._stopped = threading.Event()
        if camera is not None:
            threading.Thread(target=self._watch, args=(camera,), name="camera", daemon=True).start()

    def tick(self) -> float:
        """Sleep to the next hundredth of a second."""
        self._due_s = max(self._due_s + TICK_S, time.perf_counter() - TICK_S)
        time.sleep(max(0.0, self._due_s - time.perf_counter()))
        return time.time()

    def state(self) -> RobotState:
        """Return the newest state."""
        return self._arm.state()

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set the arm's target."""
        self._arm.set_target(T_base_ee)

    def command_gripper(self, width_m: float) -> None:
        """Ask for an opening."""
        self._gripper.command(width_m)

    def frames(self) -> list[SeenFrame]:
        """Return the frames that came since the last call."""
        seen = []
        while not self._frames.empty():
            seen.append(self._frames.get())
        return seen

    def stop(self) -> None:
        """Read the camera no more."""
        self._stopped.set()

    def _watch(self, camera: Camera) -> None:
        while not self._stopped.is_set():
            try:
                frame = camera.read(1.0)
            except HardwareError:
                return
            if frame is None:
                return
            self._frames.put(SeenFrame(frame, time.time()))


@dataclass(frozen=True)
class InjectedDelays:
    """Delays that the synchronous rig adds, whole milliseconds [s].

    Attributes:
        camera_stamp_s: Stamps are this much late.
        camera_delivery_s: Frames come this much after their stamp.
        arm_s: Targets take effect this much late.
        gripper_s: So do openings.
    """

    camera_stamp_s: float = 0.0
    camera_delivery_s: float = 0.0
    arm_s: float = 0.0
    gripper_s: float = 0.0


class SyncRig:
    """The synchronous twin as a rig, with delays that are known: what the measurement itself is tested on.

    Args:
        twin: A `SyncTwin`, reset.
        delays: To be found again.
        rate_hz: Of its camera.
    """

    def __init__(self, twin: Any, delays: InjectedDelays, rate_hz: float = 30.0) -> None:
        self._twin, self._delays = twin, delays
        self._period_s = 1.0 / rate_hz
        self._due: deque[tuple[float, Callable[[], None]]] = deque()
        self._coming: deque[SeenFrame] = deque()
        self._next_frame_s = 0.0
        twin.arm.start()

    def tick(self) -> float:
        """Step the twin by ten milliseconds."""
        for _ in range(round(TICK_S * 1000)):
            now_s = self._now_s()
            for item in [item for item in self._due if item[0] <= now_s + 1e-9]:
                self._due.remove(item)
                item[1]()
            if now_s >= self._next_frame_s:
                self._next_frame_s += self._period_s
                self._look(now_s)
            self._twin.advance(1_000_000)
        return self._now_s()

    def state(self) -> RobotState:
        """Return the state of this instant."""
        state: RobotState = self._twin.arm.state()
        return state

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set the arm's target after the injected delay."""
        target = T_base_ee.copy()
        self._due.append((self._now_s() + self._delays.arm_s, lambda: self._twin.arm.set_target(target)))

    def command_gripper(self, width_m: float) -> None:
        """Ask for an opening after the injected delay."""
        self._due.append(
            (self._now_s() + self._delays.gripper_s, lambda: self._twin.gripper.command(width_m))
        )

    def frames(self) -> list[SeenFrame]:
        """Return the frames that have come by now."""
        seen = []
        while self._coming and self._coming[0].received_s <= self._now_s():
            seen.append(self._coming.popleft())
        return seen

    def _look(self, now_s: float) -> None:
        frame: CameraFrame = self._twin.render()
        stamp_s = now_s + self._delays.camera_stamp_s
        stamped = CameraFrame(round(stamp_s * 1e9), frame.frame_id, frame.rgb, frame.intrinsics)
        self._coming.append(SeenFrame(stamped, stamp_s + self._delays.camera_delivery_s))

    def _now_s(self) -> float:
        return float(self._twin.clock.now_ns()) / 1e9
