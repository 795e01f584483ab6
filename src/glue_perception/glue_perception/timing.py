"""Clocks and measured durations. Time is integer nanoseconds everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """The host's clock. All stamps of one run come from one clock."""

    def now_ns(self) -> int:
        """Return the time now."""
        ...


class SystemClock:
    """Wall clock of the host, as ROS 2's system time."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return time.time_ns()


class ManualClock:
    """A clock that stands still until it is moved: simulated time and tests."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time it was last moved to."""
        return self._now_ns

    def advance_ns(self, delta_ns: int) -> None:
        """Move forward by `delta_ns`, which must not be negative."""
        if delta_ns < 0:
            raise ValueError(f"a clock cannot be moved back by {-delta_ns} ns")
        self._now_ns += delta_ns


class LatencyRecorder:
    """Collects durations by stage and gives their percentiles. Not thread-safe across one stage name."""

    def __init__(self) -> None:
        self._samples_ms: dict[str, list[float]] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the block in monotonic time and add it to `stage`."""
        start = time.perf_counter()
        yield
        self.add(stage, (time.perf_counter() - start) * 1e3)

    def add(self, stage: str, duration_ms: float) -> None:
        """Add one duration."""
        self._samples_ms.setdefault(stage, []).append(duration_ms)

    def summary(self) -> dict[str, dict[str, float]]:
        """Return stage -> {p50, p95, p99} in milliseconds."""
        return {
            stage: {f"p{q}": round(float(np.percentile(samples, q)), 3) for q in (50, 95, 99)}
            for stage, samples in self._samples_ms.items()
            if samples
        }
