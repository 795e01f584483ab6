"""Hours of closed loop with random tasks and random faults: does anything leak, stay stuck, or miss a hold?"""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import FR3
from glue_bringup.faults.bench import PROMPT, TICK_NS, SafetyBench
from glue_bringup.faults.motion_audit import violations
from glue_bringup.faults.table import FAULTS, MAX_HOLD_DELAY_S, Fault
from glue_bringup.loop.action_source import ExpertSource
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.safety.supervisor import Command
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.timing import NS_PER_S
from glue_perception.types import RobotState

TASKS = ("push_button", "stack_block", "place_fruit", "fold_towel")
TICKS_PER_S = NS_PER_S // TICK_NS
GAP_S, FAULT_S, STUCK_S = (0.5, 3.0), (0.3, 1.0), 3.0


@dataclass
class SoakReport:
    """What came of a soak.

    Attributes:
        model_s: Simulated time.
        episodes: By task.
        successes: By task; a fault may well cost an episode its success.
        faults: Injected, by name.
        holds: Ticks by reason of a hold.
        broken: Limits exceeded, holds missed, arms stuck.
        memory_mb: Resident memory, at every quarter of the way.
        threads: Alive at the end.
        files: Open at the end, and at the beginning.
    """

    model_s: float = 0.0
    episodes: Counter[str] = field(default_factory=Counter)
    successes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    threads: int = 0
    files: tuple[int, int] = (0, 0)


class TwinBench(SafetyBench):
    """A `SafetyBench` whose arm is the synchronous twin's, with physics, and whose policy is the task's expert.

    Args:
        task: Which task.
        twin: Of that task; reset to the seed.
        seed: Of the episode.
    """

    def __init__(self, task: TaskConfig, twin: SyncTwin, seed: int) -> None:
        self._twin = twin
        twin.reset(seed)
        period_s = 1.0 / task.policy.rate_hz
        self.chunk_ticks = round(period_s * TICKS_PER_S)
        self._source = ExpertSource(get_expert(task.task), lambda: twin.truth, period_s, 0.0, seed)
        super().__init__(FR3, replace(task.safety, watchdogs=PROMPT))
        self._source.reset(self._seen())

    def _place_arm(self, model: ArmKinematics) -> None:
        self._twin.arm.start()

    def _arm_state(self) -> RobotState:
        return self._twin.arm.state()

    def _move_arm(self, command: Command) -> None:
        self._twin.arm.set_target(command.T_base_ee)
        self._twin.gripper.command(command.gripper_width_m)
        self._twin.advance(TICK_NS)

    def _chunk_values(self) -> dict[str, Any]:
        chunk = self._source.decide(self._seen()).chunk
        return {
            "stamp_ns": self.now_ns,
            "dt_s": chunk.dt_s,
            "position_m": chunk.position_m,
            "rotation_6d": chunk.rotation_6d,
            "gripper_width_m": chunk.gripper_width_m,
        }

    def _seen(self) -> Any:
        """Return what an expert reads of an observation, without a picture."""
        return SimpleNamespace(stamp_ns=self.now_ns, robot_state=self._twin.arm.state())


def soak(
    model_minutes: float,
    seed: int,
    tasks: Sequence[str] = TASKS,
    on_episode: Callable[[SoakReport], None] | None = None,
) -> SoakReport:
    """Run random episodes with random faults until so much simulated time has passed.

    Args:
        model_minutes: Simulated time.
        seed: The same seed gives the same soak.
        tasks: To choose from.
        on_episode: Called after each with the report so far.
    """
    rng, report = random.Random(seed), SoakReport()  # noqa: S311 - nothing secret
    files = _open_files()
    with ExitStack() as stack:
        configs = {name: load_task(name) for name in tasks}
        twins = {
            name: stack.enter_context(SyncTwin(c.task, 0, c.camera, c.gains)) for name, c in configs.items()
        }
        quarters = [k * model_minutes * 15.0 for k in range(1, 5)]
        while report.model_s < model_minutes * 60.0:
            name = rng.choice(list(tasks))
            _episode(configs[name], twins[name], rng, report)
            while quarters and report.model_s >= quarters[0]:
                quarters.pop(0)
                report.memory_mb.append(_resident_mb())
            if on_episode is not None:
                on_episode(report)
    report.threads, report.files = threading.active_count(), (files, _open_files())
    return report


def _episode(task: TaskConfig, twin: SyncTwin, rng: random.Random, report: SoakReport) -> None:
    seed = rng.randrange(10**6)
    bench = TwinBench(task, twin, seed)
    where = f"{task.task}, seed {seed}"
    end = round(task.max_duration_s * TICKS_PER_S)
    next_fault = round(rng.uniform(*GAP_S) * TICKS_PER_S)
    while len(bench.commands) < end and not twin.is_success():
        bench.tick()
        if len(bench.commands) >= next_fault and bench.commands[-1].mode is SupervisorMode.ACTIVE:
            _fault(rng.choice(FAULTS), bench, rng, report, where)
            next_fault = len(bench.commands) + round(rng.uniform(*GAP_S) * TICKS_PER_S)
    report.episodes[task.task] += 1
    report.successes[task.task] += twin.is_success()
    report.model_s += len(bench.commands) / TICKS_PER_S
    report.holds.update(c.reason for c in bench.commands if c.mode is not SupervisorMode.ACTIVE)
    poses = [c.T_base_ee for c in bench.commands]
    found = violations([poses[0]] * 3 + poses, [], TICK_NS / NS_PER_S, FR3, bench.config)
    # Where the arm rested, the joint path begins anew from the measured joints.
    for begin, end in itertools.pairwise([0, *bench.anchors, len(bench.joints_rad)]):
        path = bench.joints_rad[begin:end]
        found += violations([poses[0]] * 2, path, TICK_NS / NS_PER_S, FR3, bench.config)
    report.broken += [f"{where}: {what}" for what in found]


def _fault(fault: Fault, bench: SafetyBench, rng: random.Random, report: SoakReport, where: str) -> None:
    """Inject one fault for a while, and see that the arm is held in time and moves again afterwards."""
    report.faults[fault.name] += 1
    fault.inject(bench)
    held_after = None
    for tick in range(1, round(max(rng.uniform(*FAULT_S), MAX_HOLD_DELAY_S) * TICKS_PER_S) + 1):
        held = bench.tick().mode is not SupervisorMode.ACTIVE
        held_after = tick if held and held_after is None else held_after
    if fault.reason is not None and (held_after is None or held_after > MAX_HOLD_DELAY_S * TICKS_PER_S):
        report.broken.append(f"{where}: {fault.name}: hold missed or late ({held_after} ticks)")
    bench.heal()
    fault.end(bench)
    if not any(bench.tick().mode is SupervisorMode.ACTIVE for _ in range(round(STUCK_S * TICKS_PER_S))):
        report.broken.append(f"{where}: {fault.name}: stuck, {bench.commands[-1].line}")


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
