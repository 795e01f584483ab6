"""When the policy is due: decided by capture stamps alone, so that every host and every replay agrees."""

from __future__ import annotations

from glue_perception.timing import NS_PER_S


class PolicySchedule:
    """Picks the frames on which the policy runs: the first, and then one per period.

    A frame is due when at least a period less a tolerance has passed since the last one picked, so that a camera at
    a multiple of the policy's rate gives an even rhythm in spite of its jitter.

    Args:
        rate_hz: The policy's rate.
        tolerance: Share of the period by which a frame may come early.
    """

    def __init__(self, rate_hz: float, tolerance: float = 0.15) -> None:
        self._min_gap_ns = round((1.0 - tolerance) * NS_PER_S / rate_hz)
        self._last_ns: int | None = None

    def due(self, stamp_ns: int) -> bool:
        """Return whether the policy runs on the frame of this stamp, and remember it if so."""
        if self._last_ns is not None and stamp_ns - self._last_ns < self._min_gap_ns:
            return False
        self._last_ns = stamp_ns
        return True
