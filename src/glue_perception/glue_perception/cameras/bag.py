"""A recorded bag as a camera."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

from glue_perception.bags.reader import BagReader
from glue_perception.cameras.statistics import CameraStatistics, RecordingCounter
from glue_perception.errors import ConfigError, GlueError
from glue_perception.types import CameraFrame


class BagCamera:
    """Gives a bag's frames one after the other, skipping none, as fast as they are asked for.

    Args:
        path: The bag's directory.
        start_frame: First frame to give.

    Raises:
        BagError: not a bag; that it holds no images is found when the first one is read.
        ConfigError: it ends before `start_frame`.
    """

    def __init__(self, path: Path, start_frame: int = 0) -> None:
        self._bag = BagReader(path)
        self._frames = self._bag.frames()
        self._lock = threading.Lock()
        self._closed = False
        self._counter = RecordingCounter()
        if start_frame > 0:
            self._skip(start_frame)

    def _skip(self, start_frame: int) -> None:
        first: CameraFrame | None = None
        try:
            for index in range(start_frame + 1):
                if (first := next(self._frames, None)) is None:
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
            BagError: the bag is damaged.
        """
        with self._lock:
            frame = None if self._closed else next(self._frames, None)
            if frame is not None:
                self._counter.count(frame.stamp_ns)
            return frame

    def close(self) -> None:
        """Close the bag."""
        with self._lock:
            self._closed = True
            self._bag.close()

    @property
    def statistics(self) -> CameraStatistics:
        """The counts so far."""
        return self._counter.statistics
