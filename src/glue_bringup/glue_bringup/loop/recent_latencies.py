"""Durations of the last minutes, for a host that runs for days."""

from __future__ import annotations

from glue_perception.timing import LatencyRecorder

KEPT = 1000
"""Per stage: 33 s of frames at 30 Hz, 100 s of chunks at 10 Hz."""


class RecentLatencies(LatencyRecorder):
    """Keeps the newest durations of every stage and counts all; each stage is added to by one thread."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def add(self, stage: str, duration_ms: float) -> None:
        """Add one duration."""
        super().add(stage, duration_ms)
        self.counts[stage] = self.counts.get(stage, 0) + 1
        samples = self._samples_ms[stage]
        if len(samples) > 2 * KEPT:
            del samples[:-KEPT]

    def values(self) -> dict[str, str]:
        """Return what to show of them: `<stage>_p50_ms`, `<stage>_p95_ms`, `<stage>_count`."""
        result: dict[str, str] = {}
        for stage, percentiles in self.summary().items():
            result |= {f"{stage}_{p}_ms": f"{percentiles[p]:.2f}" for p in ("p50", "p95")}
            result[f"{stage}_count"] = str(self.counts[stage])
        return result
