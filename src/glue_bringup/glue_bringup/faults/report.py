"""One row of the fault table: a fault, and what was seen when it was injected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glue_bringup.arm.limits import RobotLimits
from glue_bringup.faults.bench import TICK_NS, SafetyBench
from glue_bringup.faults.motion_audit import violations
from glue_bringup.faults.table import MAX_HOLD_DELAY_S, Fault, FaultKind
from glue_bringup.safety.state_machine import SupervisorMode

PROTOCOL_TWIN = "protocol twin"
WARM_UP_S, AFTER_S, RECOVERY_S = 0.5, 0.6, 3.0


@dataclass(frozen=True)
class FaultRow:
    """What was seen of one fault.

    Attributes:
        name: Of the fault.
        kind: What was at fault.
        bench: Where it was injected.
        detected: The reason that the supervisor gave, or the driver's; empty if it needed none.
        held_ms: From the fault to the first tick of the hold, in time of the model: ticks of control; None without.
        measured_ms: The same by the clock, where time is real.
        recovered: How motion came back, or why it does not.
        broken: What should not have been; empty if all is well.
    """

    name: str
    kind: FaultKind
    bench: str
    detected: str
    held_ms: float | None
    recovered: str
    broken: tuple[str, ...]
    measured_ms: float | None = None


def run_on_bench(fault: Fault, limits: RobotLimits) -> FaultRow:
    """Inject one fault of an input into a moving arm in simulated time, take it back, and say what was seen."""
    bench = SafetyBench(limits)
    broken = [] if bench.run(WARM_UP_S).mode is SupervisorMode.ACTIVE else ["the arm did not move at first"]
    fault.inject(bench)
    held_ms, detected = None, ""
    for tick in range(1, round(AFTER_S * 1e9 / TICK_NS) + 1):
        command = bench.tick()
        if command.mode is not SupervisorMode.ACTIVE and held_ms is None:
            held_ms, detected = tick * TICK_NS / 1e6, command.reason
            if not command.line:
                broken.append("the operator was told nothing")
    if fault.reason is None and held_ms is not None:
        broken.append(f"held ({detected}), though it had to be endured")
    if fault.reason is not None:
        broken += late(held_ms)
        if detected != fault.reason:
            broken.append(f"called {detected or 'nothing'} instead of {fault.reason}")
    bench.heal()
    fault.end(bench)
    recovered = any(
        bench.tick().mode is SupervisorMode.ACTIVE for _ in range(round(RECOVERY_S * 1e9 / TICK_NS))
    )
    if not recovered:
        broken.append("the arm did not move again")
    poses = [c.T_base_ee for c in bench.commands]
    broken += violations([poses[0]] * 3 + poses, bench.joints_rad, TICK_NS / 1e9, limits, bench.config)
    if not all(0.0 <= c.gripper_width_m <= bench.config.gripper_max_width_m for c in bench.commands):
        broken.append("an opening out of range")
    how = fault.recovery if fault.reason is not None else "nothing to recover from"
    return FaultRow(fault.name, fault.kind, "supervisor", detected, held_ms, how, tuple(broken))


def late(held_ms: float | None) -> list[str]:
    """Return what is wrong with when a hold began; empty if nothing is."""
    if held_ms is None:
        return ["no hold began"]
    limit_ms = MAX_HOLD_DELAY_S * 1e3
    return [f"the hold began after {held_ms:g} ms"] if held_ms > limit_ms + 1e-6 else []


def markdown(rows: Sequence[FaultRow]) -> str:
    """Return the table: a line for each fault, with what was seen of it in the protocol twin and elsewhere."""
    lines = [
        "| fault | of | detected | held, protocol twin | held, elsewhere | recovered |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted(dict.fromkeys(row.name for row in rows), key=lambda name: _kind_of(name, rows)):
        here = next((row for row in rows if row.name == name and row.bench == PROTOCOL_TWIN), None)
        there = next((row for row in rows if row.name == name and row.bench != PROTOCOL_TWIN), None)
        row = here or there
        if row is None:
            continue
        detected, kind = row.detected or "-", row.kind.value
        lines.append(f"| {name} | {kind} | {detected} | {_held(here)} | {_held(there)} | {row.recovered} |")
    return "\n".join(lines)


def _kind_of(name: str, rows: Sequence[FaultRow]) -> str:
    return next(row.kind.value for row in rows if row.name == name)


def _held(row: FaultRow | None) -> str:
    if row is None:
        return "-"
    if row.held_ms is None:
        held = "no hold needed"
    elif row.measured_ms is None:
        held = f"{row.held_ms:g} ms"
    else:
        held = f"{row.measured_ms:g} ms"
    return held if row.bench == PROTOCOL_TWIN else f"{held}, {row.bench}"
