"""A recorded bag as a camera."""

from __future__ import annotations

import threading
from pathlib import Path

from glue_perception.bags.reader import BagReader
from glue_perception.types import CameraFrame


class BagCamera:
    """Gives a bag's frames one after the other, skipping none, as fast as they are asked for.

    Args:
        path: The bag's directory.

    Raises:
        BagError: not a bag, or one without images.
    """

    def __init__(self, path: Path) -> None:
        self._bag = BagReader(path)
        self._frames = self._bag.frames()
        self._lock = threading.Lock()
        self._closed = False

    def read(self, timeout_s: float) -> CameraFrame | None:
        """Return the next frame, or None at the bag's end or after `close`; never waits.

        Raises:
            BagError: the bag is damaged.
        """
        with self._lock:
            return None if self._closed else next(self._frames, None)

    def close(self) -> None:
        """Close the bag."""
        with self._lock:
            self._closed = True
            self._bag.close()
