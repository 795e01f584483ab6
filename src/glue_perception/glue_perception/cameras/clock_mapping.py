"""From a camera's own clock to the host's, out of nothing but what each frame brings: its stamp and when it arrived.

A frame that the camera stamps d arrives at the host's time a = d + offset + delay. The delay of transfer and
scheduling varies and is never negative, so the smallest a - d seen tells most about the offset. The two crystals
drift apart, so a minimum is worth less the older it is. The lower envelope of the last seconds says both:

    offset_k = min over the frames j of the last WINDOW_NS of (a_j - d_j + MAX_DRIFT * (d_k - d_j))

With true drift of at most MAX_DRIFT this gives, for every frame k and whatever the delays were,

    0 <= shortest delay <= offset_k - true offset <= min over j of (delay_j + 2 * MAX_DRIFT * (d_k - d_j)):

a stamp never lies after its frame's arrival, and it is late by the delay of the quickest recent frame. The constant
part of the delay (exposure, readout, transfer) cannot be told from an offset by any means, and stays in the stamps.
A clock that is set by any amount, the host's or the device's, is followed within WINDOW_NS.
"""

from __future__ import annotations

from collections import deque

from glue_perception.errors import InvalidValueError

MAX_DRIFT_PPM = 200
"""How fast two clocks may drift apart. Crystals are sold with 20 to 50 ppm each; temperature and ageing add to it."""

WINDOW_NS = 10_000_000_000
"""Long enough that some frame among 300 comes without waiting, short enough for a clock that was set."""

WRAP_NS = 2**32 * 1000
"""Many cameras count microseconds in 32 bits and start again at 0 after 71.6 minutes."""

WRAP_TOLERANCE_NS = 1_000_000_000
"""How far the two clocks' steps may differ over a wrap, by the delays of the two frames."""

_PPM = 1_000_000


class ClockMapping:
    """Maps one device clock to the host's, frame by frame. One thread; a new connection needs a new mapping.

    A device clock that goes back has wrapped, if it is where it should be after a wrap; else it was reset, and the
    offset is taken anew.

    Args:
        max_drift_ppm: See `MAX_DRIFT_PPM`.
        window_ns: See `WINDOW_NS`.
        wrap_ns: Period after which the device clock starts again at 0.

    Attributes:
        resets: How often the offset was taken anew.
        wraps: How often the device clock started again at 0 as expected.

    Raises:
        InvalidValueError: a negative drift, or a window or period that is not positive.
    """

    def __init__(
        self, max_drift_ppm: int = MAX_DRIFT_PPM, window_ns: int = WINDOW_NS, wrap_ns: int = WRAP_NS
    ) -> None:
        if max_drift_ppm < 0 or window_ns <= 0 or wrap_ns <= 0:
            raise InvalidValueError(
                "drift must not be negative, window and period must be positive, not "
                f"{max_drift_ppm} ppm, {window_ns} ns and {wrap_ns} ns"
            )
        self.resets = self.wraps = 0
        self._max_drift_ppm, self._window_ns, self._wrap_ns = max_drift_ppm, window_ns, wrap_ns
        self._last: tuple[int, int] | None = None
        self._turns_ns = 0
        # (arrival, 1e6 * offset seen - ppm * device time), rising from left to right: a sliding minimum.
        self._lowest: deque[tuple[int, int]] = deque()

    def host_ns(self, device_ns: int, arrival_ns: int) -> int:
        """Return the host's time of a device stamp: at most `arrival_ns`.

        The answers need not increase, as a quicker frame shows that those before it were stamped too late; see
        `StampGuard`.

        Args:
            device_ns: The camera's stamp, as it came.
            arrival_ns: The host's clock when the frame arrived.
        """
        self._unwrap(device_ns, arrival_ns)
        total_ns = device_ns + self._turns_ns
        seen = (arrival_ns - total_ns) * _PPM - total_ns * self._max_drift_ppm
        while self._lowest and self._lowest[-1][1] >= seen:
            self._lowest.pop()
        self._lowest.append((arrival_ns, seen))
        while self._lowest[0][0] < arrival_ns - self._window_ns:
            self._lowest.popleft()
        offset_ns = (self._lowest[0][1] + total_ns * self._max_drift_ppm) // _PPM
        self._last = (device_ns, arrival_ns)
        return total_ns + offset_ns

    def _unwrap(self, device_ns: int, arrival_ns: int) -> None:
        if self._last is None or device_ns >= self._last[0]:
            return
        step_ns = device_ns + self._wrap_ns - self._last[0]
        if abs(step_ns - (arrival_ns - self._last[1])) <= WRAP_TOLERANCE_NS:
            self.wraps += 1
            self._turns_ns += self._wrap_ns
        else:
            self.resets += 1
            self._lowest.clear()


class StampGuard:
    """Lets stamps out that always increase and never lie in the host's future, whatever the clocks do. One thread."""

    def __init__(self) -> None:
        self._last_ns = -1

    def admit(self, stamp_ns: int, arrival_ns: int) -> int | None:
        """Return the stamp that is nearest to `stamp_ns` and allowed.

        None if there is none: the host's clock was set back to before the last stamp. It then has to catch up.

        Args:
            stamp_ns: Wanted.
            arrival_ns: The host's clock when the frame arrived.
        """
        if arrival_ns <= self._last_ns:
            return None
        self._last_ns = max(self._last_ns + 1, min(stamp_ns, arrival_ns))
        return self._last_ns
