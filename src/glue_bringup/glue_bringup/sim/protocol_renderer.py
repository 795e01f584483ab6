"""Process: draws the states that the server hands over and puts the frames into shared memory.

Run by `ProtocolTwin`, not by hand. A process of its own, so that drawing never holds up the 1 kHz loop.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from typing import Any

import numpy as np

from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.ood import Condition, get_condition
from glue_bringup.sim.ood.stage import Stage
from glue_bringup.sim.scene import build_scene
from glue_bringup.sim.shared_frames import SharedFrames
from glue_bringup.sim.start_state import sample_start
from glue_bringup.sim.tasks import get_task
from glue_bringup.sim.twin_process import ChildLink
from glue_perception.config import from_mapping

_POLL_S = 0.1
_NICENESS = 5


def main(settings: dict[str, Any]) -> None:
    """Draw until the parent hangs up."""
    link = ChildLink(settings)
    camera = from_mapping(CameraConfig, settings["camera"], "camera")
    shared = SharedFrames(settings["frames_fd"], camera.width_px, camera.height_px)
    states = socket.socket(fileno=settings["states_fd"])
    states.setblocking(False)
    os.nice(_NICENESS)  # a late frame is dropped, a late control cycle is felt
    try:
        painter = _Painter(settings["task"], settings["seed"], camera, get_condition(settings["condition"]))
    except Exception as error:
        link.failed(error)
        return
    link.ready()
    while not link.parent_gone():
        message = _newest(states)
        if message is not None:
            stamp_ns, sim_time_ns = (int(n) for n in np.frombuffer(message, np.int64, 2))
            picture = painter.draw(np.frombuffer(message, np.float64, offset=16), sim_time_ns)
            shared.write(picture, stamp_ns)
            link.wake_parent()


class _Painter:
    def __init__(self, task_name: str, seed: int, camera: CameraConfig, condition: Condition) -> None:
        task = get_task(task_name)
        simulator = build_scene(task, camera, sample_start(seed), condition)
        simulator.init()
        simulator.start()
        import mujoco

        self._mujoco, self._model, self._data = mujoco, simulator.model, simulator.data
        task.apply_layout(self._model, self._data, task.sample_layout(seed))
        self._stage = Stage(self._model, task, camera, condition)
        self._stage.begin(seed)

    def draw(self, qpos: np.ndarray, sim_time_ns: int) -> np.ndarray:
        self._data.qpos[:] = qpos
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_comPos(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)
        return self._stage.render(self._data, sim_time_ns).rgb


def _newest(states: socket.socket) -> bytes | None:
    """Return the newest waiting state, or None after a while without one."""
    select.select([states], [], [], _POLL_S)
    newest = None
    while True:
        try:
            message = states.recv(65536)
        except (BlockingIOError, ConnectionError):
            return newest
        if not message:
            return newest
        newest = message


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
