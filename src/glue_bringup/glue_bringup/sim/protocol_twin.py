"""The twin in real time behind the robot's own network protocol: any driver of the robot drives it."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.camera_config import FRAME_ID, CameraConfig
from glue_bringup.sim.ood import IN_DOMAIN, Condition
from glue_bringup.sim.rendering import require_rendering
from glue_bringup.sim.shared_frames import LOST_NS, SIM_TIME_NS, SUCCESS, WALL_NS, SharedFrames
from glue_bringup.sim.tasks import get_task
from glue_bringup.sim.twin_process import TwinProcess
from glue_perception.config import to_mapping
from glue_perception.errors import HardwareError
from glue_perception.types import CameraFrame


@dataclass(frozen=True)
class TwinStatus:
    """How the simulation fares.

    Attributes:
        sim_time_ns: Simulated time since the start.
        success: Whether the task's goal was reached at any step.
        real_time_factor: Simulated time by wall time since the start; 1 when the machine keeps up.
        lost_ns: Wall time given up because a cycle came too late.
        frames: Frames drawn.
    """

    sim_time_ns: int
    success: bool
    real_time_factor: float
    lost_ns: int
    frames: int


class ProtocolTwin:
    """A simulated robot at `robot_ip` on loopback, and its camera, in two processes of their own.

    Life cycle: built (all up and running when the constructor returns), `close`; a context manager closes. The
    processes end with the one that built them, however it ends. Layout and start are those that `SyncTwin` has
    for the same seed. Methods may be called from any thread; `camera.read` from one.

    Args:
        task_name: As in `glue_bringup.sim.tasks`.
        seed: Layout and start of the episode.
        camera: Size, rate and place of the camera.
        condition: What the scene holds besides the task; changes pictures only, never the physics.

    Raises:
        ConfigError: no such task.
        RenderingError: no OpenGL library works here; the message names the packages.
        HardwareError: a process could not be started; the message says why.
    """

    def __init__(
        self,
        task_name: str,
        seed: int,
        camera: CameraConfig | None = None,
        condition: Condition = IN_DOMAIN,
    ) -> None:
        self.camera_config = camera if camera is not None else CameraConfig()
        self.task = get_task(task_name)
        self.condition = condition
        self._layout = self.task.sample_layout(seed)
        require_rendering()
        self._shared = SharedFrames.create(self.camera_config.width_px, self.camera_config.height_px)
        from_server, to_renderer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.processes: list[TwinProcess] = []
        try:
            for module, states in (("protocol_server", from_server), ("protocol_renderer", to_renderer)):
                settings = {
                    "task": task_name,
                    "seed": seed,
                    "condition": condition.name,
                    "camera": to_mapping(self.camera_config),
                    "frames_fd": self._shared.fd,
                    "states_fd": states.fileno(),
                }
                fds = [self._shared.fd, states.fileno()]
                self.processes.append(TwinProcess(f"glue_bringup.sim.{module}", settings, fds))
            answers = [process.wait_ready() for process in self.processes]
        except BaseException:
            self.close()
            raise
        finally:
            from_server.close()
            to_renderer.close()
        self.robot_ip: str = answers[0]["robot_ip"]
        self.camera = TwinCamera(self._shared, self.processes, self.intrinsics)

    def status(self) -> TwinStatus:
        """Return how the simulation fares.

        Raises:
            HardwareError: one of the processes has ended, or the twin is closed.
        """
        _check_running(self.processes)
        counters = self._shared.counters
        return TwinStatus(
            sim_time_ns=int(counters[SIM_TIME_NS]),
            success=bool(counters[SUCCESS]),
            real_time_factor=float(counters[SIM_TIME_NS]) / max(float(counters[WALL_NS]), 1.0),
            lost_ns=int(counters[LOST_NS]),
            frames=self._shared.latest,
        )

    @property
    def measured(self) -> Float[np.ndarray, "k"]:
        """Where the movable objects were at the last frame, in the task's own order; empty before the first."""
        return self._shared.read_measured()

    @property
    def truth(self) -> Any:
        """The layout with the movable objects where they were at the last frame."""
        return self.task.truth(self._layout, self.measured)

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """Pinhole matrix in px."""
        return self.camera_config.intrinsics

    @property
    def T_base_camera(self) -> Float[np.ndarray, "4 4"]:
        """Pose of the optical frame."""
        return self.camera_config.T_base_camera

    def close(self) -> None:
        """End both processes, within two seconds. Safe to call twice."""
        for process in self.processes:
            process.hang_up()
        for process in self.processes:
            process.stop()
        self.processes.clear()
        self._shared.close()

    def __enter__(self) -> ProtocolTwin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TwinCamera:
    """The twin's camera; a frame's stamp is the wall clock when the robot stood as it shows."""

    def __init__(
        self, shared: SharedFrames, processes: list[TwinProcess], intrinsics: Float[np.ndarray, "3 3"]
    ) -> None:
        # The twin's own list, which it empties when closed; a reference to the twin would be a cycle that keeps
        # the frames' memory until a garbage collection.
        self._shared, self._processes, self._intrinsics = shared, processes, intrinsics
        self._last = 0
        self._closed = False

    def read(self, timeout_s: float) -> CameraFrame | None:
        """Return the next new frame, or None once the camera is closed.

        Raises:
            HardwareError: no frame came within `timeout_s`, or the simulation has ended.
        """
        deadline = time.monotonic() + timeout_s
        while not self._closed:
            _check_running(self._processes)
            if self._shared.latest > self._last:
                self._last, stamp_ns, rgb = self._shared.read()
                return CameraFrame(stamp_ns, FRAME_ID, rgb, self._intrinsics)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise HardwareError(f"the simulated camera gave no frame within {timeout_s:g} s")
            self._wait(left_s)
        return None

    def close(self) -> None:
        """Give no more frames; the simulation goes on."""
        self._closed = True

    def _wait(self, timeout_s: float) -> None:
        """Sleep until the renderer signals a frame, or for a while."""
        try:
            link = self._processes[-1].socket
            readable, _, _ = select.select([link], [], [], min(timeout_s, 0.2))
            if readable:
                link.recv(16)
        except (OSError, ValueError, IndexError):  # closed meanwhile by another thread
            return


def _check_running(processes: list[TwinProcess]) -> None:
    if not processes:
        raise HardwareError("the simulation twin is closed")
    for process in processes:
        if not process.alive:
            raise HardwareError(f"the simulation process {process.module} has ended{process.last_words()}")
