"""What a camera has delivered so far, in numbers."""

from __future__ import annotations

import dataclasses
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
        received: Frames that came, the repeated and the bad ones not among them.
        delivered: Frames that `read` has given.
        skipped: Frames that came but were replaced by newer ones before `read` asked for them.
        dropped: Frames missing between the received ones, by the camera's frame numbers, wherever they got lost:
            in the camera, on the cable or in this computer. What a lost connection misses is no drop. Where the
            driver numbers the frames on arrival (clock domain HOST), frames lost before that show as late only.
        repeated: Frames that came again with the number of one before, and were left out. Equal pixels under a new
            number are not looked for: whether an image stands still is for those who look at images.
        late: Frames that came more than a frame period after they were due: a period after the one before, or one
            more for each dropped.
        bad: Frames left out as they were unusable: content that `CameraFrame` refuses, or no possible stamp as the
            host's clock had been set back.
        without_depth: Frames whose depth image was lost, where depth is asked for; their depth is 0, unknown.
        reconnects: Connections after the first one.
        rate_hz: Received frames per second by their stamps, over the last seconds (a recording: over all of it);
            0 before the second frame.
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
    without_depth: int = 0
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
        self._statistics = dataclasses.replace(
            self._statistics,
            received=number,
            delivered=number,
            rate_hz=(number - 1) * 1e9 / span_ns if span_ns > 0 else 0.0,
            last_gap_s=(stamp_ns - self._last_ns) * 1e-9,
            clock_domain=ClockDomain.RECORDING,
        )
        self._last_ns = stamp_ns

    def count_bad(self) -> None:
        """Take note of one frame that was left out."""
        self._statistics = dataclasses.replace(self._statistics, bad=self._statistics.bad + 1)

    @property
    def statistics(self) -> CameraStatistics:
        """The counts so far."""
        return self._statistics
