"""Reads runs of frames from a video file, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import DatasetError


class VideoFrames:
    """A video that is read forwards. Frames are counted, not sought: seeking lands on key frames in many files.

    Args:
        path: Any video that FFmpeg decodes.

    Attributes:
        path: The file.
        position: Number of the next frame.

    Raises:
        DatasetError: it cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        try:
            self._frames: Iterator[bytes] = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
            self._width, self._height = next(self._frames)["size"]
        except (OSError, RuntimeError, StopIteration, KeyError) as error:
            raise DatasetError(f"{path} cannot be read as a video; copy the dataset again") from error

    def take(self, first: int, count: int) -> UInt8[np.ndarray, "count h w 3"]:
        """Return `count` frames from number `first` on, which must not lie behind `position`.

        Raises:
            DatasetError: the video ends before.
        """
        images = np.empty((count, self._height, self._width, 3), dtype=np.uint8)
        for number in range(self.position, first + count):
            data = next(self._frames, None)
            if data is None:
                raise DatasetError(
                    f"{self.path} ends at frame {number}, {first + count} are needed; copy the dataset again"
                )
            if number >= first:
                images[number - first] = np.frombuffer(data, np.uint8).reshape(self._height, self._width, 3)
        self.position = first + count
        return images
