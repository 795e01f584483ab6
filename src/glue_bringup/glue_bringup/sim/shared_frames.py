"""Memory that the twin's processes share: frames, counters, where the objects are. It has no name."""

from __future__ import annotations

import mmap
import os

import numpy as np
from jaxtyping import Float, UInt8

from glue_perception.errors import InvalidValueError, StaleDataError

SLOTS = 4
_COUNTERS = 8
_SLOT_WORDS = 2
MAX_MEASURED = 4096
"""Numbers that a task may measure, see `Task.measure`; three per point are a cloth of 36 x 36 points."""

_MEASURED_WORDS = 2 + MAX_MEASURED
_MEASURED_SLOTS = 2
_HEADER_BYTES = 8 * (_COUNTERS + SLOTS * _SLOT_WORDS + _MEASURED_SLOTS * _MEASURED_WORDS)

_LATEST, SIM_TIME_NS, SUCCESS, WALL_NS, LOST_NS, _MEASURED = range(6)


class SharedFrames:
    """A ring of frames with one writer and one reader; counters and measurements that the server writes.

    A slot's number is set to -1 before it is written and to the frame's number after; a reader that finds another
    number after copying takes the next frame. The memory goes when the last process that maps it ends.

    Args:
        fd: A memory file of `size_bytes(width, height)`; see `create`.
        width_px: Image width.
        height_px: Image height.
    """

    def __init__(self, fd: int, width_px: int, height_px: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, _size_bytes(width_px, height_px))
        words = np.frombuffer(self._map, np.int64, _HEADER_BYTES // 8)
        self.counters = words[:_COUNTERS]
        slots_end = _COUNTERS + SLOTS * _SLOT_WORDS
        self._slots = words[_COUNTERS:slots_end].reshape(SLOTS, _SLOT_WORDS)
        self._measured = words[slots_end:].reshape(_MEASURED_SLOTS, _MEASURED_WORDS)
        pixels = np.frombuffer(self._map, np.uint8, offset=_HEADER_BYTES)
        self._pixels = pixels.reshape(SLOTS, height_px, width_px, 3)

    @classmethod
    def create(cls, width_px: int, height_px: int) -> SharedFrames:
        """Return new, empty shared memory; `fd` is to be handed to the other processes."""
        fd = os.memfd_create("glue_twin_frames")
        os.ftruncate(fd, _size_bytes(width_px, height_px))
        return cls(fd, width_px, height_px)

    @property
    def latest(self) -> int:
        """Number of the newest frame, counted from 1; 0 before the first."""
        return int(self.counters[_LATEST])

    def write(self, rgb: UInt8[np.ndarray, "height width 3"], stamp_ns: int) -> None:
        """Add a frame."""
        number = self.latest + 1
        slot = self._slots[number % SLOTS]
        slot[0] = -1
        self._pixels[number % SLOTS] = rgb
        slot[1] = stamp_ns
        slot[0] = number
        self.counters[_LATEST] = number

    def read(self) -> tuple[int, int, UInt8[np.ndarray, "height width 3"]]:
        """Return number, stamp and a copy of the newest frame.

        Raises:
            StaleDataError: the writer overtook the copy several times in a row.
        """
        for _ in range(SLOTS):
            number = self.latest
            slot = self._slots[number % SLOTS]
            stamp_ns = int(slot[1])
            rgb = self._pixels[number % SLOTS].copy()
            if int(slot[0]) == number:
                return number, stamp_ns, rgb
        raise StaleDataError("the simulated camera writes frames faster than they can be copied")

    def write_measured(self, measured: Float[np.ndarray, "k"]) -> None:
        """Replace what was measured last; the reader gets one of the two whole.

        Raises:
            InvalidValueError: more numbers than there is room for.
        """
        if len(measured) > MAX_MEASURED:
            raise InvalidValueError(f"a task may measure {MAX_MEASURED} numbers, not {len(measured)}")
        number = int(self.counters[_MEASURED]) + 1
        slot = self._measured[number % _MEASURED_SLOTS]
        slot[0] = -1
        slot[1] = len(measured)
        slot[2 : 2 + len(measured)].view(np.float64)[:] = measured
        slot[0] = number
        self.counters[_MEASURED] = number

    def read_measured(self) -> Float[np.ndarray, "k"]:
        """Return a copy of what was measured last; empty before the first.

        Raises:
            StaleDataError: the writer overtook the copy several times in a row.
        """
        for _ in range(SLOTS):
            number = int(self.counters[_MEASURED])
            if number == 0:
                return np.empty(0)
            slot = self._measured[number % _MEASURED_SLOTS]
            measured: np.ndarray = slot[2 : 2 + int(slot[1])].view(np.float64).copy()
            if int(slot[0]) == number:
                return measured
        raise StaleDataError("the simulation measures its objects faster than that can be copied")

    def close(self) -> None:
        """Close the file; the mapping goes with this object."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _size_bytes(width_px: int, height_px: int) -> int:
    return _HEADER_BYTES + SLOTS * width_px * height_px * 3
