"""Frames to an MP4 file that ordinary players open."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import ConfigError, InvalidValueError


class VideoWriter:
    """Writes RGB pictures of one size as MPEG-4. A context manager; the file is complete after its end.

    Args:
        path: Ends in .mp4; its folder is made.
        rate_hz: Playback rate.

    Raises:
        ConfigError: the name does not end in .mp4, or the file cannot be written.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        if path.suffix.lower() != ".mp4":
            raise ConfigError(f"{path}: a video's name must end in .mp4")
        make_folder_of(path)
        self.path, self._rate_hz = path, rate_hz
        self._writer: cv2.VideoWriter | None = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
        """Add one picture; odd sizes lose their last row or column, as the codec knows even sizes only.

        Raises:
            InvalidValueError: the size differs from the first picture's.
            ConfigError: the file cannot be written.
        """
        height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
        if self._writer is None:
            self._shape = rgb.shape
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self.path), codec, self._rate_hz, (width, height))
            if not self._writer.isOpened():
                raise ConfigError(f"cannot write the video {self.path}; is its folder writable?")
        if rgb.shape != self._shape:
            raise InvalidValueError(
                f"a picture of {rgb.shape[:2]} cannot follow one of {self._shape[:2]} in a video"
            )
        self._writer.write(cv2.cvtColor(np.ascontiguousarray(rgb[:height, :width]), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None


def write_picture(path: Path, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write one picture; the suffix chooses the format.

    Raises:
        ConfigError: the format is unknown or the file cannot be written.
    """
    make_folder_of(path)
    try:
        ok = cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ConfigError(f"{path}: unknown picture format {path.suffix!r}; use .png or .jpg") from error
    if not ok:
        raise ConfigError(f"cannot write the picture {path}; is its folder writable?")


def make_folder_of(path: Path) -> None:
    """Make the folder that a file goes to.

    Raises:
        ConfigError: it cannot be made, or the path is a folder itself.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path.parent}: {error.strerror}") from error
