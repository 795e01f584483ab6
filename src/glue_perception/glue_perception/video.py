"""Writes RGB frames to an H.264 file that browsers and players open."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Self

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import ConfigError


class VideoWriter:
    """A video file that grows by one frame per `write`. The size is that of the first frame.

    Args:
        path: Ends in .mp4 or .mkv; folders are made.
        fps_hz: Playback rate.

    Raises:
        ConfigError: another ending, or a path that cannot be written.
    """

    def __init__(self, path: Path, fps_hz: float) -> None:
        if path.suffix not in {".mp4", ".mkv"}:
            raise ConfigError(f"a video's name must end in .mp4 or .mkv, found {path.name!r}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise ConfigError(f"cannot write the video {path}: {error}") from error
        self._path = path
        self._fps_hz = fps_hz
        self._size: tuple[int, int] | None = None
        self._sink: Generator[None, bytes | None, None] | None = None

    def write(self, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append one frame.

        Raises:
            ConfigError: its size differs from the first frame's.
        """
        size = (rgb.shape[1], rgb.shape[0])
        if self._sink is None:
            self._size = size
            self._sink = imageio_ffmpeg.write_frames(
                str(self._path),
                size,
                fps=self._fps_hz,
                codec="libx264",
                pix_fmt_out="yuv420p",
                macro_block_size=2,
                output_params=["-preset", "veryfast", "-crf", "20"],
                ffmpeg_log_level="error",
            )
            self._sink.send(None)
        if size != self._size:
            raise ConfigError(f"the video {self._path} has frames of {self._size}, cannot add one of {size}")
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
