"""Process: the simulated robot behind its own network protocol, at 1 kHz of real time.

Run by `ProtocolTwin`, not by hand.
"""

from __future__ import annotations

import gc
import json
import socket
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.goal import GoalWatch
from glue_bringup.sim.ood import Condition, get_condition
from glue_bringup.sim.scene import build_scene
from glue_bringup.sim.shared_frames import LOST_NS, SIM_TIME_NS, SUCCESS, WALL_NS, SharedFrames
from glue_bringup.sim.start_state import sample_start
from glue_bringup.sim.tasks import get_task
from glue_bringup.sim.tasks.base import ForcedTask
from glue_bringup.sim.twin_process import ChildLink
from glue_perception.config import from_mapping
from glue_perception.scheduling import take_short_turns

STEP_S = 0.001
MAX_LAG_S = 0.020
"""A loop that is later than this gives the time up as lost instead of racing through a burst of cycles, whose
commands would all be stale."""

_CHECK_STEPS = 20


def main(settings: dict[str, Any]) -> None:
    """Serve until the parent hangs up."""
    link = ChildLink(settings)
    take_short_turns()
    camera = from_mapping(CameraConfig, settings["camera"], "camera")
    shared = SharedFrames(settings["frames_fd"], camera.width_px, camera.height_px)
    states = socket.socket(fileno=settings["states_fd"])
    states.setblocking(False)
    try:
        simulator, server, task = _start(
            settings["task"], settings["seed"], camera, get_condition(settings["condition"])
        )
    except Exception as error:
        link.failed(error)
        return
    try:
        shared.write_measured(task.measure(simulator.model, simulator.data))
        link.ready(robot_ip=server.robot_servers[0].hostname)
        _serve(simulator, server, task, camera.rate_hz, shared, states, link)
    finally:
        server.cleanup()


class _LoopbackSocket(socket.socket):
    """Binds to loopback where franky-sim asks for every interface: a simulation is not for the network."""

    def bind(self, address: Any) -> None:
        host, port = address
        super().bind(("127.0.0.1" if host == "0.0.0.0" else host, port))  # noqa: S104


def _start(task_name: str, seed: int, camera: CameraConfig, condition: Condition) -> tuple[Any, Any, Any]:
    from franky_sim import SimulationServer, franka_server

    franka_server.socket = SimpleNamespace(**{**vars(socket), "socket": _LoopbackSocket})
    task = get_task(task_name)
    simulator = build_scene(task, camera, sample_start(seed), condition)
    simulator.init()
    server = SimulationServer(simulator)
    server.init()
    task.apply_layout(simulator.model, simulator.data, task.sample_layout(seed))
    return simulator, server, task


def _serve(
    simulator: Any,
    server: Any,
    task: Any,
    rate_hz: float,
    shared: SharedFrames,
    states: socket.socket,
    link: ChildLink,
) -> None:
    robots, model, data, counters = server.robot_servers, simulator.model, simulator.data, shared.counters
    watch = GoalWatch(task)
    before_step = task.before_step if isinstance(task, ForcedTask) else None
    gc.freeze()  # a full collection over the imported modules takes several cycles
    begin = due = time.perf_counter()
    step = frames = lost_ns = 0
    while step % _CHECK_STEPS or not link.parent_gone():
        for robot in robots:
            robot.process_commands()
        if before_step is not None:
            before_step(model, data)
        simulator.step()
        for robot in robots:
            robot.send_state()
        step += 1
        watch.step(model, data)
        counters[SUCCESS] = watch.reached
        if step * rate_hz * STEP_S >= frames:
            frames += 1
            _publish(states, step * 1_000_000, data.qpos)
            shared.write_measured(task.measure(model, data))
        due += STEP_S
        now = time.perf_counter()
        if now < due:
            time.sleep(due - now)
        elif now - due > MAX_LAG_S:
            lost_ns += int((now - due) * 1e9)
            due = now
        counters[SIM_TIME_NS] = step * 1_000_000
        counters[WALL_NS] = int((now - begin) * 1e9)
        counters[LOST_NS] = lost_ns


def _publish(states: socket.socket, sim_time_ns: int, qpos: np.ndarray) -> None:
    """Hand the state of this instant to the renderer; dropped where it is still busy."""
    stamps = np.array([time.time_ns(), sim_time_ns], np.int64)
    try:
        states.send(stamps.tobytes() + qpos.tobytes())
    except (BlockingIOError, ConnectionError):
        return


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
