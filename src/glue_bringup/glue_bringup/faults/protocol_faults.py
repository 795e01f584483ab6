"""Every fault of the table, injected while the robot's own driver flies the twin behind its protocol."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from glue_bringup.arm.franky_arm import FrankyArm
from glue_bringup.arm.limits import RobotModel
from glue_bringup.faults.bench import ACTIVE, PROMPT, TICK_NS
from glue_bringup.faults.loop_faults import LoopFault, missing_in, run_in_loop
from glue_bringup.faults.network_faults import NetworkFault
from glue_bringup.faults.protocol_bench import PATIENCE_S, ProtocolBench
from glue_bringup.faults.report import AFTER_S, PROTOCOL_TWIN, WARM_UP_S, FaultRow, late
from glue_bringup.faults.table import Fault, FaultKind
from glue_bringup.gripper.franky_gripper import FrankyGripper
from glue_bringup.gripper.renewable import RenewableGripper
from glue_bringup.loop.realtime_loop import Robot
from glue_bringup.recording.episode_recorder import EpisodeRecorder, Outcome
from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.task_config import load_task
from glue_perception.bags.reader import BagReader
from glue_perception.errors import HardwareError

TASK = "push_button"
CAMERA = CameraConfig(width_px=160, height_px=120)
"""Small, as only the frames' stamps count, and the renderer shares the computer with all else."""

LATE_HOST = ("stale_state", "stale_frame", "stale_key_patches", "stale_chunk", "stale_deadman")
"""What a busy computer holds the arm for, whatever the fault."""


@dataclass
class _Seen:
    """What came of a fault: when the arm was held, and for what."""

    held_tick: int | None = None
    held_s: float | None = None
    reasons: list[str] = field(default_factory=list)
    failure: str = ""


class ProtocolRun:
    """One twin, one driver and one supervisor, which serve many faults in turn. A context manager.

    Before each fault the arm comes home, is brought to rest, and control begins anew; after each it must move again.
    All of it is recorded, and the bag must hold every state, every target and every intervention.

    Args:
        quiet: Whether the computer has time for this alone. Then a hold must begin in time by the clock, and for no
            reason but the fault's. On a busy one control itself comes late: then ticks of control are counted, and
            holds for want of a fresh input may come besides.

    Attributes:
        bench: Which all faults share.

    Raises:
        HardwareError: the twin does not start.
        MissingDependencyError: franky is not installed.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._task = load_task(TASK).for_simulation()
        self._bags = tempfile.TemporaryDirectory()
        self._paths = (Path(self._bags.name) / str(index) for index in itertools.count())

    def __enter__(self) -> Self:
        self._twin = self._new_twin()
        try:
            robot = self._task.robot
            address = self._twin.robot_ip
            gripper = RenewableGripper(lambda: FrankyGripper(address, robot.gripper))
            arm = FrankyArm(robot.arm_config(address, RobotModel.FR3), self._task.gains, gripper.width_m)
            config = replace(self._task.safety, watchdogs=PROMPT)
            self.bench = ProtocolBench(arm, gripper, self._twin.camera, config)
        except BaseException:
            self._twin.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(HardwareError):
            self.bench.end()
        self.bench.arm.close()
        self._twin.close()
        self._bags.cleanup()

    def input_fault(self, fault: Fault) -> FaultRow:
        """Inject a fault of an input between driver, camera, policy, operator and supervisor."""
        bench, broken = self.bench, self._set_out()
        seen = self._watch(lambda: fault.inject(bench), fault.reason)
        broken += self._judge(fault.reason, seen)
        bench.heal()
        fault.end(bench)
        if seen.failure:
            broken += bench.audit()
            bench.recover()
        broken += self._moves_again()
        if not all(0.0 <= c.gripper_width_m <= bench.config.gripper_max_width_m for c in bench.commands):
            broken.append("an opening out of range")
        broken += bench.audit() + self._recorded(fault.reason)
        how = fault.recovery if fault.reason is not None else "nothing to recover from"
        return self._row(fault.name, fault.kind, seen, fault.reason, how, broken)

    def network_fault(self, fault: NetworkFault) -> FaultRow:
        """Inject a fault of the way to the robot, and bring the robot back by the driver's own recovery."""
        bench, broken = self.bench, self._set_out()
        pid = self._twin.processes[0].pid
        seen = self._watch(lambda: fault.inject(pid), None)
        broken += self._judge("", seen) + bench.audit()
        if fault.end is not None:
            fault.end(pid)
        else:
            self._restart()
        bench.recover()
        broken += self._moves_again() + bench.audit() + self._recorded(None)
        return self._row(fault.name, FaultKind.NETWORK, seen, "", fault.recovery, broken)

    def loop_fault(self, fault: LoopFault, bag: Path) -> FaultRow:
        """Inject a fault of a thread or the disk into the real-time loop around this robot. See `run_in_loop`."""
        broken, bench = self._set_out() + self._recorded(None), self.bench
        bench.end()
        bench.gripper.start()
        robot = Robot(bench.arm, bench.gripper, self._twin.camera, RobotModel.FR3)
        row = run_in_loop(fault, bag, robot)
        bench.begin()
        broken += [*row.broken, *self._moves_again()]
        if self._quiet and row.measured_ms is not None:
            broken += late(row.measured_ms)
        return replace(row, bench=PROTOCOL_TWIN, broken=tuple(broken))

    def _new_twin(self) -> ProtocolTwin:
        return ProtocolTwin(self._task.task, 0, CAMERA)

    def _restart(self) -> None:
        """Have a new robot answer where the one of before did."""
        address = self._twin.robot_ip
        self._twin.close()
        self._twin = self._new_twin()
        if self._twin.robot_ip != address:
            raise HardwareError(f"the robot came back at {self._twin.robot_ip} instead of {address}")
        self.bench.camera = self._twin.camera

    def _set_out(self) -> list[str]:
        """Bring the arm home, to rest, and into motion; return what was wrong with that."""
        bench = self.bench
        bench.recorder = None  # of a fault whose run was broken off
        bench.begin()
        broken = [] if bench.come_home() else ["the arm did not come home"]
        bench.begin()
        bench.offered = Counter()
        bench.recorder = EpisodeRecorder(next(self._paths), {"task": self._task.task})
        bench.run(WARM_UP_S)
        return broken if bench.run_until_calm() else [*broken, "the arm did not move at first"]

    def _watch(self, inject: Callable[[], None], reason: str | None) -> _Seen:
        """Inject, and look on for `AFTER_S`; on a busy computer until the reason was given, too."""
        bench, seen = self.bench, _Seen()
        begin_s = time.perf_counter()
        inject()
        for tick in range(1, round(PATIENCE_S * 1e9 / TICK_NS)):
            try:
                command = bench.tick()
                held, said = command.mode is not ACTIVE, command.reason
            except HardwareError as error:
                held, said = True, str(error)
                seen.failure = said
            if held:
                seen.reasons.append(said)
                if seen.held_tick is None:
                    given_s = bench.given_s[-1] if not seen.failure else time.perf_counter()
                    seen.held_tick, seen.held_s = tick, given_s - begin_s
            waits = not self._quiet and bool(reason) and reason not in seen.reasons
            if seen.failure or (tick * TICK_NS >= AFTER_S * 1e9 and not waits):
                break
        return seen

    def _judge(self, reason: str | None, seen: _Seen) -> list[str]:
        """Return what was wrong with a hold, or with none.

        Args:
            reason: That must have been given: None if the fault had to be endured, empty if any will do.
            seen: What was.
        """
        others = [said for said in seen.reasons if self._quiet or said not in LATE_HOST]
        if reason is None:
            return [f"held ({others[0]}), though it had to be endured"] if others else []
        broken = late(None if seen.held_tick is None else seen.held_tick * TICK_NS / 1e6)
        if self._quiet and seen.held_s is not None:
            broken += late(round(seen.held_s * 1e3, 1))
        if reason and reason not in seen.reasons:
            broken.append(f"called {', '.join(dict.fromkeys(seen.reasons)) or 'nothing'} instead of {reason}")
        elif reason and self._quiet and seen.reasons[0] != reason:
            broken.append(f"held for {seen.reasons[0]} first")
        if reason and seen.failure:
            broken.append(f"control ended: {seen.failure}")
        return broken

    def _recorded(self, reason: str | None) -> list[str]:
        """Close the bag; return what it does not hold of what it should, the reason of the hold among it."""
        recorder, self.bench.recorder = self.bench.recorder, None
        if recorder is None:
            return ["nothing was recorded"]
        recorder.close(Outcome.SUCCESS)
        missing = missing_in(recorder.path, self.bench.offered, {})
        with BagReader(recorder.path) as bag:
            said = {event.reason for event in bag.safety_events()}
        return (
            missing if reason is None or reason in said else [*missing, f"the bag says nothing of {reason}"]
        )

    def _moves_again(self) -> list[str]:
        return [] if self.bench.run_until_calm() else ["the arm did not move again"]

    def _row(
        self, name: str, kind: FaultKind, seen: _Seen, reason: str | None, how: str, broken: list[str]
    ) -> FaultRow:
        if seen.held_tick is None or seen.held_s is None or reason is None:
            return FaultRow(name, kind, PROTOCOL_TWIN, "", None, how, tuple(broken))
        ticks_ms, clock_ms = seen.held_tick * TICK_NS / 1e6, round(seen.held_s * 1e3)
        return FaultRow(name, kind, PROTOCOL_TWIN, seen.reasons[0], ticks_ms, how, tuple(broken), clock_ms)
