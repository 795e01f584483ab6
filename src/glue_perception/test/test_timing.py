"""Clocks and latency percentiles."""

import pytest

from glue_perception.timing import LatencyRecorder, ManualClock


def test_manual_clock_only_moves_forward() -> None:
    clock = ManualClock(10)
    clock.advance_ns(5)
    assert clock.now_ns() == 15
    with pytest.raises(ValueError, match="back"):
        clock.advance_ns(-1)


def test_percentiles() -> None:
    one = LatencyRecorder()
    for value in range(100):
        one.add("stage", value)
    with one.measure("other"):
        pass
    assert one.summary()["stage"] == {"p50": 49.5, "p95": 94.05, "p99": 98.01}
    assert one.summary()["other"]["p50"] < 100
