"""The tracking part of `glue detect`: follows a started episode and draws every frame."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from glue_perception.cameras.base import Camera
from glue_perception.errors import ConfigError
from glue_perception.overlay import draw_tracking
from glue_perception.pipeline import PerceptionPipeline
from glue_perception.timing import NS_PER_S, LatencyRecorder
from glue_perception.track_statistics import TrackStatistics
from glue_perception.types import CameraFrame
from glue_perception.video import VideoWriter

_VIDEO_RATE_HZ = 30.0
_FRAME_TIMEOUT_S = 10.0


class Follower:
    """Updates a pipeline with every frame of a camera, counts, and writes a video.

    Args:
        pipeline: Started with the first frame.
        video: File to write.
        latency: Takes the time of each `update`.
        first: Number of the first frame in its recording.
        picture_frame: Number of the frame whose picture is wanted, or None.
    """

    def __init__(
        self,
        pipeline: PerceptionPipeline,
        video: Path,
        latency: LatencyRecorder,
        first: int,
        picture_frame: int | None,
    ) -> None:
        self.statistics = TrackStatistics(pipeline.queries)
        self._pipeline, self._latency, self._video = pipeline, latency, video
        self._first, self._picture_frame = first, picture_frame

    def follow(
        self, frame: CameraFrame, camera: Camera, length: int | None, until_interrupted: bool
    ) -> UInt8[np.ndarray, "height width 3"] | None:
        """Update on every frame; return the picture of the frame asked for, or None.

        Args:
            frame: The one that the pipeline was started with.
            camera: Gives the later ones.
            length: Most frames, or None for all there are.
            until_interrupted: Whether Ctrl-C is the way to stop, and no failure: a live camera has no end.

        Raises:
            ConfigError: the frame asked for is not among those followed.
        """
        shown = None
        frames = itertools.islice(itertools.chain([frame], _frames(camera)), length)
        stopping = _stops_on_interrupt() if until_interrupted else nullcontext(threading.Event())
        with VideoWriter(self._video, _VIDEO_RATE_HZ) as video, stopping as stop:
            for index, following in enumerate(tqdm(frames, total=length, unit="frame")):
                picture = self._picture(index, following)
                video.write(picture)
                if self._first + index == self._picture_frame:
                    shown = picture
                if stop.is_set():
                    break
        if self._picture_frame is not None and shown is None:
            raise ConfigError(f"--frame {self._picture_frame} is not among the frames that were tracked")
        return shown

    def _picture(self, index: int, frame: CameraFrame) -> UInt8[np.ndarray, "height width 3"]:
        start = time.perf_counter()
        key_patches = self._pipeline.update(frame)
        elapsed_ms = (time.perf_counter() - start) * 1e3
        if index:
            self._latency.add("update", elapsed_ms)
        self.statistics.add(key_patches)
        line = f"{frame.stamp_ns / NS_PER_S:6.2f} s   {elapsed_ms:4.1f} ms"
        return draw_tracking(frame, key_patches, self._pipeline.queries, [line])


def _frames(camera: Camera) -> Iterator[CameraFrame]:
    while (frame := camera.read(_FRAME_TIMEOUT_S)) is not None:
        yield frame


@contextmanager
def _stops_on_interrupt() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C sets, so that the frame at hand is finished; a second one interrupts."""
    stop, before = threading.Event(), signal.getsignal(signal.SIGINT)

    def set_stop(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, set_stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
