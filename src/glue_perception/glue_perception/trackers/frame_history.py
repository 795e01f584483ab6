"""The frames since the newest one that a network was given: what carries its answer on, and its next window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import UInt8

from glue_perception.types import CameraFrame


@dataclass(frozen=True, eq=False)
class PastFrame:
    """A frame and its grey image, which is worked out once."""

    frame: CameraFrame

    @cached_property
    def gray(self) -> UInt8[np.ndarray, "height width"]:
        """Luminance, 0..255."""
        gray: np.ndarray = cv2.cvtColor(self.frame.rgb, cv2.COLOR_RGB2GRAY)
        return gray

    @property
    def stamp_ns(self) -> int:
        """Capture time."""
        return self.frame.stamp_ns


class FrameHistory:
    """Frames from `first` to the newest, evenly thinned so that there are never more than `limit`.

    When it is full, every second frame is left out, and from then on only every second new one stays. The first and
    the newest frame are always there.

    Args:
        first: Where it begins.
        limit: Most frames that are kept, at least 3.
    """

    def __init__(self, first: PastFrame, limit: int) -> None:
        self._limit = limit
        self._stride = 1
        self._numbered = [(0, first)]

    def __len__(self) -> int:
        return len(self._numbered)

    @property
    def frames(self) -> tuple[PastFrame, ...]:
        """The kept frames, oldest first."""
        return tuple(frame for _, frame in self._numbered)

    @property
    def newest(self) -> PastFrame:
        """The frame that was appended last."""
        return self._numbered[-1][1]

    def append(self, frame: PastFrame) -> None:
        """Add a newer frame."""
        number = self._numbered[-1][0] + 1
        if len(self._numbered) > 1 and self._numbered[-1][0] % self._stride:
            self._numbered.pop()
        self._numbered.append((number, frame))
        while len(self._numbered) > self._limit:
            self._stride *= 2
            self._numbered = [(n, kept) for n, kept in self._numbered if n % self._stride == 0 or n == number]

    def since(self, stamp_ns: int) -> tuple[PastFrame, ...]:
        """Return the kept frames later than a stamp."""
        return tuple(frame for frame in self.frames if frame.stamp_ns > stamp_ns)

    def spread(self, count: int) -> tuple[PastFrame, ...]:
        """Return `count` frames, evenly chosen, the first and (if more than one is asked for) the newest included."""
        places = np.rint(np.linspace(0, len(self) - 1, count)).astype(int)
        return tuple(self._numbered[place][1] for place in places)

    def cut(self, first: PastFrame) -> None:
        """Forget all that is older than a kept frame."""
        place = next(k for k, (_, frame) in enumerate(self._numbered) if frame is first)
        begin = self._numbered[place][0]
        self._numbered = [(number - begin, frame) for number, frame in self._numbered[place:]]
        if len(self._numbered) == 1:
            self._stride = 1
