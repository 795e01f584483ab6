"""A recorded bag as a camera."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

from glue_perception.bags.reader import BagReader
from glue_perception.cameras.statistics import CameraStatistics, RecordingCounter
from glue_perception.errors import BagError, ConfigError, GlueError
from glue_perception.types import CameraFrame


class BagCamera:
    """Gives a bag's frames one after the other, skipping none, as fast as they are asked for.

    Frames of unusable content (an encoding that is no colour, impossible sizes or intrinsics) are left out and
    counted as bad, as in a live stream; `BagReader` by itself refuses them. Damage to the file ends the stream with
    an error. Stamps are those of the recording, whatever their order.

    Args:
        path: The bag's directory.
        start_frame: First frame to give.

    Raises:
        BagError: not a bag; that it holds no images is found when the first one is read.
        ConfigError: it ends before `start_frame`.
    """

    def __init__(self, path: Path, start_frame: int = 0) -> None:
        self._bag = BagReader(path)
        self._bad: BagError | None = None
        self._any_usable = False
        self._failure: BagError | None = None
        self._frames = self._bag.frames(on_bad=self._leave_out)
        self._lock = threading.Lock()
        self._closed = False
        self._counter = RecordingCounter()
        if start_frame > 0:
            self._skip(start_frame)

    def _skip(self, start_frame: int) -> None:
        first: CameraFrame | None = None
        try:
            for index in range(start_frame + 1):
                if (first := self._next()) is None:
                    raise ConfigError(
                        f"{self._bag.path} ends at frame {index - 1}; there is no frame {start_frame}"
                    )
        except GlueError:
            self.close()
            raise
        if first is not None:
            self._frames = itertools.chain([first], self._frames)

    def read(self, timeout_s: float = 0.0) -> CameraFrame | None:
        """Return the next frame, or None at the bag's end or after `close`; never waits.

        Raises:
            BagError: the bag is damaged from here on, or holds no usable frame at all; the same error comes at every
                later call.
        """
        with self._lock:
            if self._closed:
                return None
            if self._failure is not None:
                raise self._failure
            try:
                frame = self._next()
            except BagError as error:
                self._failure = error
                raise
            if frame is not None:
                self._counter.count(frame.stamp_ns)
            return frame

    def _next(self) -> CameraFrame | None:
        frame = next(self._frames, None)
        self._any_usable |= frame is not None
        if not self._any_usable and self._bad is not None:
            raise BagError(f"none of the bag's frames is usable; the last one: {self._bad}")
        return frame

    def _leave_out(self, error: BagError) -> None:
        self._bad = error
        self._counter.count_bad()

    def close(self) -> None:
        """Close the bag."""
        with self._lock:
            self._closed = True
            self._bag.close()

    @property
    def statistics(self) -> CameraStatistics:
        """The counts so far."""
        return self._counter.statistics
