"""Reads runs of frames from a video file, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import DatasetError
from glue_policy.data.interchange.base import import_package


class VideoFrames:
    """A video that is read forwards. Frames are counted, not sought: seeking lands on key frames in many files.

    PyAV decodes AV1 too, in which LeRobot writes its videos; OpenCV's builds do not.

    Args:
        path: Any video that FFmpeg decodes.

    Attributes:
        path: The file.
        position: Number of the next frame.

    Raises:
        MissingDependencyError: PyAV is not installed.
        DatasetError: it cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        av = import_package("av", "lerobot")
        self.path = path
        self.position = 0
        self._error = av.error.FFmpegError
        try:
            self._container = av.open(str(path))
            self._frames: Iterator[Any] = self._container.decode(video=0)
        except (self._error, OSError, IndexError) as error:
            raise DatasetError(
                f"{path} cannot be read as a video ({error}); copy the dataset again"
            ) from error

    def take(self, first: int, count: int) -> UInt8[np.ndarray, "count h w 3"]:
        """Return `count` frames from number `first` on, which must not lie behind `position`.

        Raises:
            DatasetError: the video ends before.
        """
        images = []
        for number in range(self.position, first + count):
            try:
                frame = next(self._frames, None)
            except self._error as error:
                raise DatasetError(f"{self.path} is damaged at frame {number} ({error})") from error
            if frame is None:
                raise DatasetError(
                    f"{self.path} ends at frame {number}, {first + count} are needed; copy the dataset again"
                )
            if number >= first:
                images.append(frame.to_ndarray(format="rgb24"))
        self.position = first + count
        return np.stack(images)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._container.close()
