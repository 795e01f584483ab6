"""When the policy is due: decided by capture stamps alone, so that every host and every replay agrees."""

from __future__ import annotations

from glue_perception.timing import NS_PER_S


class PolicySchedule:
    """Picks the frames on which the policy runs: the first, and then the first one of every period.

    A frame that comes when it is expected, within a tolerance, sets the time of the next: the rhythm is the camera's
    own where its rate is a multiple of the policy's. One that comes later, since frames were lost or the camera's
    rate is no multiple, does not shift the rhythm: the next is expected when it would have been without it, half
    a period after it at the least.

    Args:
        rate_hz: The policy's rate.
        tolerance: Share of the period by which a frame may come early or late.
    """

    def __init__(self, rate_hz: float, tolerance: float = 0.15) -> None:
        self._period_ns = round(NS_PER_S / rate_hz)
        self._tolerance_ns = round(tolerance * NS_PER_S / rate_hz)
        self._due_ns: int | None = None

    def due(self, stamp_ns: int) -> bool:
        """Return whether the policy runs on the frame of this stamp, and expect the next one if so."""
        late_ns = 0 if self._due_ns is None else stamp_ns - self._due_ns
        if late_ns < -self._tolerance_ns:
            return False
        if self._due_ns is None or late_ns <= self._tolerance_ns:
            self._due_ns = stamp_ns + self._period_ns
        else:
            self._due_ns += self._period_ns * (1 + round(late_ns / self._period_ns))
        return True
