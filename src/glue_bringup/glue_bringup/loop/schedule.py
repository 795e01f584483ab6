"""When the policy is due: decided by capture stamps alone, so that every host and every replay agrees."""

from __future__ import annotations

from glue_perception.timing import NS_PER_S

PULL = 0.1
"""Share by which a frame's distance from its due time shifts the next one: the clocks of cameras drift slowly."""


class PolicySchedule:
    """Picks the frames on which the policy runs: the first, and then the first one of every period.

    The rhythm is the policy's own and holds on average whatever the camera's rate is and whichever frames are lost.
    It is drawn slowly to the frames that come when they are expected, so that a camera at a multiple of the rate is
    followed evenly in spite of its drift and jitter. Two frames lie half a period apart at the least.

    Args:
        rate_hz: The policy's rate.
        tolerance: Share of the period by which a frame may come early.
    """

    def __init__(self, rate_hz: float, tolerance: float = 0.15) -> None:
        self._period_ns = round(NS_PER_S / rate_hz)
        self._tolerance_ns = round(tolerance * NS_PER_S / rate_hz)
        self._due_ns: int | None = None

    def due(self, stamp_ns: int) -> bool:
        """Return whether the policy runs on the frame of this stamp, and expect the next one if so."""
        if self._due_ns is None:
            self._due_ns = stamp_ns + self._period_ns
            return True
        late_ns = stamp_ns - self._due_ns
        if late_ns < -self._tolerance_ns:
            return False
        periods = 1 + max(0, round(late_ns / self._period_ns))
        self._due_ns += periods * self._period_ns + round(PULL * min(late_ns, self._tolerance_ns))
        return True
