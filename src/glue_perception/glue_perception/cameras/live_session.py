"""From one connection's raw frames to stamped, counted camera frames."""

from __future__ import annotations

import dataclasses
from collections import deque

from glue_perception.cameras.clock_mapping import ClockMapping, StampGuard
from glue_perception.cameras.frame_source import DeviceClock, SourceFrame
from glue_perception.cameras.statistics import CameraStatistics, ClockDomain
from glue_perception.errors import InvalidValueError
from glue_perception.timing import NS_PER_S
from glue_perception.types import CameraFrame

MAX_TRANSFER_NS = NS_PER_S
"""A driver that places a capture longer than this before its arrival, or as long after it, has a wrong clock."""

RATE_FRAMES = 61
"""Over how many frames the rate is taken."""


class FrameCounter:
    """Counts over all connections of one camera. One thread counts; any may ask for `statistics`.

    Args:
        rate_hz: The stream's stated rate.
    """

    def __init__(self, rate_hz: float) -> None:
        self.statistics = CameraStatistics()
        self._period_ns = NS_PER_S / rate_hz
        self._stamps_ns: deque[int] = deque(maxlen=RATE_FRAMES)
        self._last: tuple[int, int] | None = None

    def connection_lost(self) -> None:
        """Forget the last frame number: the next connection counts from anew."""
        self._last = None

    def add(self, **counts: int) -> None:
        """Add to counts by name."""
        now = self.statistics
        changes = {name: getattr(now, name) + number for name, number in counts.items()}
        self.statistics = dataclasses.replace(now, **changes)

    def is_repeated(self, frame: SourceFrame) -> bool:
        """Return whether the frame has the number of the one before; it is counted then."""
        if self._last is None or frame.number != self._last[0]:
            return False
        self.add(repeated=1)
        return True

    def received(self, frame: SourceFrame, stamp_ns: int, domain: ClockDomain) -> None:
        """Count a sound frame and what is missing before it."""
        dropped = late = 0
        if self._last is not None:
            # A number below the last one: the camera began to count anew, and nobody knows what is missing.
            dropped = max(0, frame.number - self._last[0] - 1)
            due_ns = self._last[1] + (dropped + 1) * self._period_ns
            late = int(frame.arrival_ns - due_ns > self._period_ns)
        self._last = (frame.number, frame.arrival_ns)
        gap_ns = stamp_ns - self._stamps_ns[-1] if self._stamps_ns else 0
        self._stamps_ns.append(stamp_ns)
        span_ns = stamp_ns - self._stamps_ns[0]
        self.add(received=1, dropped=dropped, late=late, without_depth=int(frame.depth_lost))
        self.statistics = dataclasses.replace(
            self.statistics,
            rate_hz=(len(self._stamps_ns) - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0,
            last_gap_s=gap_ns / NS_PER_S,
            clock_domain=domain,
        )


class LiveSession:
    """One connection's frames, stamped on the host's clock. One thread.

    A stamp that is the driver's own estimate of host time is taken as it is while it is plausible; once it was not,
    it is from then on taken for a free-running clock and mapped as such.

    Args:
        guard: Of all stamps of one camera, over its connections.
        counter: The same.
        frame_id: Optical frame of the images.
        warm_up_frames: So many frames at first teach the clock mapping and are then left out, uncounted.
    """

    def __init__(
        self, guard: StampGuard, counter: FrameCounter, frame_id: str, warm_up_frames: int = 0
    ) -> None:
        self._guard, self._counter, self._frame_id = guard, counter, frame_id
        self._to_leave_out = warm_up_frames
        self._mappings: dict[DeviceClock, ClockMapping] = {}

    def camera_frame(self, raw: SourceFrame) -> CameraFrame | None:
        """Return the frame with its stamp, or None if it repeats the one before or belongs to the warm-up.

        Raises:
            InvalidValueError: the content is unusable, or there is no possible stamp; the message says why.
        """
        if self._counter.is_repeated(raw):
            return None
        wanted_ns, domain = self._host_ns(raw)
        if self._to_leave_out > 0:
            self._to_leave_out -= 1
            return None
        stamp_ns = self._guard.admit(wanted_ns, raw.arrival_ns)
        if stamp_ns is None:
            raise InvalidValueError(
                "the host's clock was set back; frames go on when it has caught up, or open the camera anew"
            )
        frame = CameraFrame(stamp_ns, self._frame_id, raw.rgb, raw.intrinsics, raw.depth_m)
        self._counter.received(raw, stamp_ns, domain)
        return frame

    def _host_ns(self, raw: SourceFrame) -> tuple[int, ClockDomain]:
        of_host = raw.clock is not DeviceClock.HARDWARE and raw.clock not in self._mappings
        if of_host and abs(raw.arrival_ns - raw.device_ns) <= MAX_TRANSFER_NS:
            synced = raw.clock is DeviceClock.HOST_SYNCED
            return raw.device_ns, ClockDomain.GLOBAL if synced else ClockDomain.HOST
        mapping = self._mappings.setdefault(raw.clock, ClockMapping())
        return mapping.host_ns(raw.device_ns, raw.arrival_ns), ClockDomain.DEVICE
