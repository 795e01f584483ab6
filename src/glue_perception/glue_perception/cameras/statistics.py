"""What a camera has delivered so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ClockDomain(Enum):
    """Where a camera's stamps come from.

    NONE: no frame has come yet. RECORDING: from the file. GLOBAL: the camera's own clock, brought to the host's by
    its driver. DEVICE: the camera's own clock, brought to the host's by `ClockMapping`. HOST: the host's clock when
    the frame arrived; capture was earlier by the unknown transfer time.
    """

    NONE = "none"
    RECORDING = "recording"
    GLOBAL = "global"
    DEVICE = "device"
    HOST = "host"


@dataclass(frozen=True)
class CameraStatistics:
    """Counts of one camera since it was opened, over all its connections.

    Attributes:
        received: Frames that came, the repeated ones and those of unusable content not among them.
        delivered: Frames that `read` has given.
        skipped: Frames that came but were replaced by newer ones before `read` asked for them.
        dropped: Frames missing between the received ones, by the camera's frame numbers; what a lost connection
            misses is no drop.
        repeated: Frames that came again with the number of one before, and were left out. Equal pixels under a new
            number are not looked for: whether an image stands still is for those who look at images.
        late: Frames that came after more than twice the frame period, of the stream's stated rate.
        bad: Frames left out as their content was unusable (wrong size, impossible intrinsics).
        reconnects: Connections after the first one.
        rate_hz: Received frames per second by their stamps, over the last seconds; 0 before the second frame.
        last_gap_s: Time between the stamps of the last two frames; 0 before the second frame.
        clock_domain: Where the stamps of the newest frame come from.
    """

    received: int = 0
    delivered: int = 0
    skipped: int = 0
    dropped: int = 0
    repeated: int = 0
    late: int = 0
    bad: int = 0
    reconnects: int = 0
    rate_hz: float = 0.0
    last_gap_s: float = 0.0
    clock_domain: ClockDomain = ClockDomain.NONE


class RecordingCounter:
    """Counts the frames of a recording, which skips none. One thread counts; any may ask."""

    def __init__(self) -> None:
        self._statistics = CameraStatistics()
        self._first_ns = self._last_ns = 0

    def count(self, stamp_ns: int) -> None:
        """Take note of one delivered frame."""
        number = self._statistics.received + 1
        if number == 1:
            self._first_ns = self._last_ns = stamp_ns
        span_ns = stamp_ns - self._first_ns
        self._statistics = CameraStatistics(
            received=number,
            delivered=number,
            rate_hz=(number - 1) * 1e9 / span_ns if span_ns > 0 else 0.0,
            last_gap_s=(stamp_ns - self._last_ns) * 1e-9,
            clock_domain=ClockDomain.RECORDING,
        )
        self._last_ns = stamp_ns

    @property
    def statistics(self) -> CameraStatistics:
        """The counts so far."""
        return self._statistics
