"""Counts the policy's deadlines: one per period, met when a chunk comes within one period of its frame."""

from __future__ import annotations

from glue_perception.timing import NS_PER_S


class DeadlineCounter:
    """Counts due, made and late chunks of one episode.

    Args:
        rate_hz: The policy's rate; its period is the deadline.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(NS_PER_S / rate_hz)
        self._first_ns: int | None = None
        self._last_ns = 0
        self.chunks = 0
        self._late = 0

    def chunk(self, stamp_ns: int, submitted_ns: int) -> None:
        """Note a chunk of the frame captured at `stamp_ns` that was handed over at `submitted_ns`."""
        if self._first_ns is None:
            self._first_ns = stamp_ns
        self._last_ns = stamp_ns
        self.chunks += 1
        self._late += submitted_ns - stamp_ns > self._period_ns

    @property
    def due(self) -> int:
        """How many chunks were due from the first frame to the last, both included."""
        if self._first_ns is None:
            return 0
        return round((self._last_ns - self._first_ns) / self._period_ns) + 1

    @property
    def missed(self) -> int:
        """Late chunks and those that were due and never came."""
        return self._late + max(0, self.due - self.chunks)
