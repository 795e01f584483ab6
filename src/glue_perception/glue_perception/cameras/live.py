"""A live camera of any make: newest frame first, counted, and back by itself after it was unplugged."""

from __future__ import annotations

import atexit
import dataclasses
import threading
import time
from collections.abc import Callable

from glue_perception.cameras.clip import FRAME_ID
from glue_perception.cameras.clock_mapping import StampGuard
from glue_perception.cameras.frame_source import FrameSource
from glue_perception.cameras.live_session import FrameCounter, LiveSession
from glue_perception.cameras.reconnect import ReconnectConfig
from glue_perception.cameras.statistics import CameraStatistics
from glue_perception.errors import GlueError, HardwareError, InvalidValueError
from glue_perception.types import CameraFrame

POLL_S = 0.1
"""How long the capture thread waits for a frame before it looks whether the camera was closed."""

CLOSE_WAIT_S = 1.0
"""How long `close` waits for the device to be freed; an SDK that hangs is left to its thread."""


class LiveCamera:
    """Streams in a thread of its own and holds the newest frame, one, for whoever reads.

    Life cycle: it streams from when it is built until `close`. A connection that fails, or is silent for too long,
    is closed and opened anew with growing waits; `read` waits for that as long as it may, and frames after it are
    stamped later than all before. One thread reads; `close` and `statistics` may be called from any.

    Args:
        open_source: Makes a connection; raises a GlueError if it cannot. Called from the calling thread first, from
            the capture thread later.
        rate_hz: The stream's stated rate.
        reconnect: Silence and waits.
        name: What messages call the camera.
        warm_up_frames: So many frames of each connection are left out at first.

    Raises:
        GlueError: what `open_source` raises the first time.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        rate_hz: float,
        reconnect: ReconnectConfig,
        name: str,
        warm_up_frames: int = 0,
    ) -> None:
        self._open_source, self._reconnect, self._name = open_source, reconnect, name
        self._warm_up_frames = warm_up_frames
        self._guard, self._counter = StampGuard(), FrameCounter(rate_hz)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._newest: CameraFrame | None = None
        self._delivered = self._skipped = 0
        self._state, self._reason = "is connected", ""
        first = open_source()
        self._thread = threading.Thread(target=self._work, args=(first,), name="camera", daemon=True)
        self._thread.start()
        # A thread that comes back from an SDK call into an interpreter that has ended brings the process down.
        atexit.register(self.close)

    def read(self, timeout_s: float) -> CameraFrame | None:
        """Return the newest frame that was not given yet, waiting for it; None after `close`.

        Raises:
            HardwareError: no frame came within `timeout_s`; the message says what is known of the reason. The camera
                goes on trying, so that a later call may succeed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._closing.is_set(), timeout_s)
            if self._closing.is_set():
                return None
            if self._newest is None:
                reason = f": {self._reason}" if self._reason else ""
                raise HardwareError(
                    f"no frame from {self._name} within {timeout_s:g} s; it {self._state}{reason}"
                )
            frame, self._newest = self._newest, None
            self._delivered += 1
            return frame

    def close(self) -> None:
        """Stop the stream; returns within about a second even while the device hangs or is gone."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(CLOSE_WAIT_S)
        atexit.unregister(self.close)

    @property
    def statistics(self) -> CameraStatistics:
        """The counts since the camera was opened."""
        with self._changed:
            return dataclasses.replace(
                self._counter.statistics, delivered=self._delivered, skipped=self._skipped
            )

    def _work(self, source: FrameSource | None) -> None:
        failures = 0
        while not self._closing.wait(self._reconnect.wait_s(failures)):
            received = self._counter.statistics.received
            try:
                if source is None:
                    source = self._open_source()
                    self._counter.add(reconnects=1)
                    self._note("is connected again", "")
                self._stream(source)
            except Exception as error:  # whatever an SDK throws, the camera goes on trying
                cause = str(error) if isinstance(error, GlueError) else f"{type(error).__name__}: {error}"
                self._note("is lost and being looked for", cause)
            finally:
                if source is not None:
                    source.close()
                source = None
            self._counter.connection_lost()
            failures = 0 if self._counter.statistics.received > received else failures + 1
        if source is not None:
            source.close()

    def _stream(self, source: FrameSource) -> None:
        """Publish frames until the camera is closed; raises when the connection is lost."""
        session = LiveSession(self._guard, self._counter, FRAME_ID, self._warm_up_frames)
        limit_s = self._reconnect.first_frame_timeout_s
        last_s, last_number = time.monotonic(), -1
        while not self._closing.is_set():
            raw = source.wait(POLL_S)
            # A camera that repeats one frame for ever is as silent as one that gives none.
            if raw is not None and raw.number != last_number:
                last_s, last_number = time.monotonic(), raw.number
                limit_s = self._reconnect.stall_timeout_s
            elif time.monotonic() - last_s > limit_s:
                raise HardwareError(f"it gave no new frame for {limit_s:g} s; check its cable")
            if raw is None:
                continue
            try:
                frame = session.camera_frame(raw)
            except InvalidValueError as error:  # one bad frame does not end a stream
                self._counter.add(bad=1)
                self._note("gives unusable frames", str(error))
                continue
            if frame is not None:
                self._publish(frame)

    def _publish(self, frame: CameraFrame) -> None:
        with self._changed:
            self._skipped += self._newest is not None
            self._newest, self._state, self._reason = frame, "is connected", ""
            self._changed.notify_all()

    def _note(self, state: str, reason: str) -> None:
        with self._changed:
            self._state, self._reason = state, reason
