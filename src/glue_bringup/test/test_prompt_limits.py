"""The limits that docs/safety.md gives for a hold within 200 ms: quick enough, and silent while all is well."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from glue_bringup.arm.limits import FR3
from glue_bringup.faults.bench import TICK_NS, SafetyBench
from glue_bringup.faults.table import FAULTS, MAX_HOLD_DELAY_S
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.safety.supervisor import Command
from glue_perception.config import from_mapping

DOCUMENT = Path(__file__).parents[3] / "docs" / "safety.md"
MS = 1_000_000


def documented() -> SafetyConfig:
    """Return what the document's YAML makes of `safety`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    block = text.split("## A hold within 200 ms")[1].split("```yaml")[1].split("```")[0]
    return from_mapping(SafetyConfig, yaml.safe_load(block)["safety"], "safety")


class RealBench(SafetyBench):
    """Frames 30 times a second and chunks ten times, each as late as on a robot.

    Args:
        frame_late_ms: From capture to the key-patches' arrival.
        chunk_late_ms: From capture to the chunk's arrival.
    """

    chunk_ticks = 10

    def __init__(self, frame_late_ms: int, chunk_late_ms: int) -> None:
        self.frame_late_ns, self.chunk_late_ns = frame_late_ms * MS, chunk_late_ms * MS
        self._next_ns = 0
        super().__init__(FR3, documented())

    def _frame_stamps_ns(self) -> list[int]:
        captured_ns = self.now_ns - self.frame_late_ns
        if captured_ns < self._next_ns:
            return []
        self._next_ns = captured_ns + 1_000_000_000 // 30
        return [captured_ns]

    def _chunk_values(self) -> dict[str, Any]:
        return super()._chunk_values() | {"stamp_ns": self.now_ns - self.chunk_late_ns}


def first_hold(bench: SafetyBench, ticks: int) -> tuple[int, Command] | None:
    for tick in range(1, ticks + 1):
        command = bench.tick()
        if command.mode is not SupervisorMode.ACTIVE:
            return tick, command
    return None


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.reason], ids=lambda fault: fault.name)
def test_every_hold_begins_within_200_ms(fault):
    for phase in (0, 3, 6, 9):  # of the frames and the chunks
        bench = RealBench(60, 100)
        bench.run(0.5 + phase * TICK_NS / 1e9)
        assert first_hold(bench, 20) is None
        fault.inject(bench)
        hold = first_hold(bench, 60)
        assert hold is not None
        assert hold[1].reason == fault.reason
        assert hold[0] * TICK_NS <= MAX_HOLD_DELAY_S * 1e9


@pytest.mark.parametrize(("frame_late_ms", "chunk_late_ms"), [(60, 100), (120, 180)])
def test_no_hold_while_all_is_well(frame_late_ms, chunk_late_ms):
    bench = RealBench(frame_late_ms, chunk_late_ms)
    bench.run(0.3)
    assert first_hold(bench, 300) is None
