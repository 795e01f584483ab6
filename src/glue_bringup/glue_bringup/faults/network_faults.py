"""Faults of the way to the robot, injected into the twin that speaks the robot's own protocol."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.franky_arm import FrankyArm
from glue_bringup.arm.limits import RobotModel
from glue_bringup.faults.bench import PROMPT, TICK_NS
from glue_bringup.faults.motion_audit import steps
from glue_bringup.faults.report import FaultRow, late
from glue_bringup.faults.table import FaultKind
from glue_bringup.loop.guarded_supervisor import guarded_supervisor
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.task_config import load_task
from glue_perception.errors import HardwareError
from glue_perception.geometry import rotation_6d_from_matrix
from glue_perception.types import ActionChunk, RobotState

TICK_S = TICK_NS / 1e9
WATCHDOGS = replace(PROMPT, max_frame_age_s=None, max_key_patches_age_s=None, max_deadman_age_s=None)
WARM_UP_TICKS, AFTER_TICKS, CALM_TICKS, PATIENCE_TICKS = 40, 60, 5, 6000


@dataclass(frozen=True)
class NetworkFault:
    """One fault.

    Attributes:
        name: Short, unique.
        inject: Given the process of the robot's server.
        end: Takes it back, or None if that is not possible.
        recovery: How the arm comes back, in words.
    """

    name: str
    inject: Callable[[int], None]
    end: Callable[[int], None] | None
    recovery: str


NETWORK_FAULTS: tuple[NetworkFault, ...] = (
    NetworkFault(
        "robot freezes: no packet comes or goes",
        lambda pid: os.kill(pid, signal.SIGSTOP),
        lambda pid: os.kill(pid, signal.SIGCONT),
        "recover (driver or service), start, then a new chunk",
    ),
    NetworkFault(
        "robot's server is killed",
        lambda pid: os.kill(pid, signal.SIGKILL),
        None,
        "recover (driver or service), once the robot answers again",
    ),
)


class NetworkBench:
    """The robot's driver on the protocol twin, a supervisor, and chunks along a slow circle, in real time.

    Args:
        arm: Started.
        config: Settings.

    Attributes:
        poses: Handed to the arm so far.
        stamps_ns: Their times.
    """

    def __init__(self, arm: FrankyArm, config: SafetyConfig) -> None:
        self._arm = arm
        self._supervisor: SafetySupervisor = guarded_supervisor(config, RobotModel.FR3)
        self.poses: list[Float[np.ndarray, "4 4"]] = []
        self.stamps_ns: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Begin at the pose where the arm is."""
        state = self._arm.state()
        self._start, self._start_ns, self._ticks = state.T_base_ee, time.time_ns(), 0
        self._due_s = time.perf_counter()
        self._supervisor.reset(self._start_ns, state)

    def tick(self) -> tuple[SupervisorMode, str]:
        """Run one tick of control, and sleep to the next; return mode and reason.

        Raises:
            HardwareError: of the driver.
        """
        state = self._arm.state()
        now_ns = time.time_ns()
        if self._ticks % 5 == 0:
            self._supervisor.submit(self._chunk(state, now_ns), now_ns)
        command = self._supervisor.step(now_ns, state)
        self._arm.set_target(command.T_base_ee)
        self.poses.append(command.T_base_ee)
        self.stamps_ns.append(now_ns)
        self._ticks += 1
        self._due_s = max(self._due_s + TICK_S, time.perf_counter() - TICK_S)
        time.sleep(max(0.0, self._due_s - time.perf_counter()))
        return command.mode, command.reason

    def run_until_calm(self) -> bool:
        """Run until the arm has moved for a while; return whether it did."""
        calm = 0
        for tick in range(PATIENCE_TICKS):
            calm = calm + 1 if self.tick()[0] is SupervisorMode.ACTIVE else 0
            if tick >= WARM_UP_TICKS and calm >= CALM_TICKS:
                return True
        return False

    def _chunk(self, state: RobotState, now_ns: int) -> ActionChunk:
        phase = 2.0 * ((now_ns - self._start_ns) / 1e9 + 0.1 * np.arange(8))
        way_m = 0.04 * np.stack([0.0 * phase, np.sin(phase), np.cos(phase) - 1.0], axis=1)
        rotation_6d = np.tile(rotation_6d_from_matrix(self._start[:3, :3]), (8, 1))
        return ActionChunk(now_ns, 0.1, self._start[:3, 3] + way_m, rotation_6d, np.full(8, 0.04))


def run_on_twin(fault: NetworkFault) -> FaultRow:
    """Fly in the protocol twin with one fault and say what was seen. Takes about ten seconds of real time."""
    task = load_task("push_button").for_simulation()
    config = replace(task.safety, watchdogs=WATCHDOGS)
    with ProtocolTwin(task.task, 0, task.camera) as twin:
        arm = FrankyArm(task.robot.arm_config(twin.robot_ip, RobotModel.FR3), task.gains)
        try:
            arm.start()
            return _fly(fault, NetworkBench(arm, config), arm, twin.processes[0].pid, config)
        finally:
            with suppress(HardwareError):
                arm.stop()


def _fly(
    fault: NetworkFault, bench: NetworkBench, arm: FrankyArm, pid: int, config: SafetyConfig
) -> FaultRow:
    broken = [] if bench.run_until_calm() else ["the arm did not move at first"]
    fault.inject(pid)
    held_ms, detected, failure = None, "", ""
    for tick in range(1, AFTER_TICKS + 1):
        try:
            mode, reason = bench.tick()
        except HardwareError as error:
            mode, reason = SupervisorMode.HOLD, str(error)
            failure = reason
        if mode is not SupervisorMode.ACTIVE and held_ms is None:
            held_ms, detected = tick * TICK_NS / 1e6, reason
        if failure:
            break
    broken += late(held_ms)
    broken += steps(bench.poses, bench.stamps_ns, config)
    if fault.end is not None:
        fault.end(pid)
        arm.recover()
        arm.start()
        bench.begin()
        if not bench.run_until_calm():
            broken.append("the arm did not move again")
    return FaultRow(
        fault.name, FaultKind.NETWORK, "protocol twin", detected, held_ms, fault.recovery, tuple(broken)
    )
