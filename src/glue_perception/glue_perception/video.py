"""Writes RGB frames to an H.264 file that browsers and players open."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Self

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.picture import make_folder_of


class VideoWriter:
    """A video file that grows by one frame per `write`. The size is that of the first frame.

    Args:
        path: Ends in .mp4 or .mkv; folders are made.
        rate_hz: Playback rate.

    Raises:
        ConfigError: another ending, or a path that cannot be written.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        if path.suffix not in {".mp4", ".mkv"}:
            raise ConfigError(f"a video's name must end in .mp4 or .mkv, found {path.name!r}")
        make_folder_of(path)
        try:
            path.touch()
        except OSError as error:
            raise ConfigError(f"cannot write the video {path}: {error.strerror}") from error
        self._path = path
        self._rate_hz = rate_hz
        self._size: tuple[int, int] | None = None
        self._sink: Generator[None, bytes | None, None] | None = None

    def write(self, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append one frame; odd sizes lose their last row or column, as the codec knows even sizes only.

        Raises:
            InvalidValueError: its size differs from the first frame's.
        """
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        size = (rgb.shape[1], rgb.shape[0])
        if self._sink is None:
            self._size = size
            self._sink = imageio_ffmpeg.write_frames(
                str(self._path),
                size,
                fps=self._rate_hz,
                codec="libx264",
                pix_fmt_out="yuv420p",
                macro_block_size=2,
                output_params=["-preset", "veryfast", "-crf", "20"],
                ffmpeg_log_level="error",
            )
            self._sink.send(None)
        if size != self._size:
            raise InvalidValueError(
                f"a frame of {size} px cannot follow one of {self._size} px in {self._path}"
            )
        self._sink.send(np.ascontiguousarray(rgb).tobytes())

    def close(self) -> None:
        """Finish the file; an empty one is removed. Safe to call twice."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None
        elif self._size is None:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
