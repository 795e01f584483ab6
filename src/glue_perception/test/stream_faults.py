"""What real camera streams do wrong, as generators around any stream of frames, and a camera that plays the result.

Each takes and gives an iterable of frames, so that they can be put one around the other:

    camera = StreamCamera(vanishes(dropped(scene(), seed=1), first=60, count=5))

Indices count the frames of the stream that a fault is put around, from 0. The world goes on while a stream is faulty:
whatever is left out leaves a gap in the stamps.
"""

import dataclasses
import threading
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from glue_perception.cameras.statistics import CameraStatistics, RecordingCounter
from glue_perception.errors import HardwareError
from glue_perception.timing import NS_PER_S
from glue_perception.types import CameraFrame

STALL_NS = 200_000_000


def black(frames: Iterable[CameraFrame], first: int, count: int) -> Iterator[CameraFrame]:
    """`count` images are all black, with sound stamps: a lens cap, or exposure gone wrong."""
    for index, frame in enumerate(frames):
        inside = first <= index < first + count
        yield dataclasses.replace(frame, rgb=np.zeros_like(frame.rgb)) if inside else frame


def frozen(frames: Iterable[CameraFrame], first: int, count: int) -> Iterator[CameraFrame]:
    """`count` frames show the image of the frame before them (the first of all: its own) under new stamps."""
    last: CameraFrame | None = None
    for index, frame in enumerate(frames):
        if last is not None and first <= index < first + count:
            frame = dataclasses.replace(frame, rgb=last.rgb, depth_m=last.depth_m)
        last = frame
        yield frame


def resized(
    frames: Iterable[CameraFrame], first: int, width_px: int, height_px: int, count: int | None = None
) -> Iterator[CameraFrame]:
    """From `first` on, or for `count` frames, images come in another resolution, intrinsics with them."""
    for index, frame in enumerate(frames):
        inside = index >= first and (count is None or index < first + count)
        yield _resized(frame, width_px, height_px) if inside else frame


def _resized(frame: CameraFrame, width_px: int, height_px: int) -> CameraFrame:
    scale = np.diag([width_px / frame.width_px, height_px / frame.height_px, 1.0])
    size = (width_px, height_px)
    depth = frame.depth_m
    return dataclasses.replace(
        frame,
        rgb=cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA),
        intrinsics=scale @ frame.intrinsics,
        depth_m=None if depth is None else cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST),
    )


def stalled(
    frames: Iterable[CameraFrame], every: int, stall_ns: int = STALL_NS, first: int = 0
) -> Iterator[CameraFrame]:
    """After every `every` frames given, from `first` on, those of the next `stall_ns` are missing."""
    given, resume_ns = 0, 0
    for index, frame in enumerate(frames):
        if index < first:
            yield frame
            continue
        if frame.stamp_ns < resume_ns:
            continue
        yield frame
        given += 1
        if given % every == 0:
            resume_ns = frame.stamp_ns + stall_ns


def dropped(
    frames: Iterable[CameraFrame], seed: int, share: float = 0.1, first: int = 1
) -> Iterator[CameraFrame]:
    """Each frame from `first` on is missing with probability `share`."""
    rng = np.random.default_rng(seed)
    for index, frame in enumerate(frames):
        missing = rng.random() < share
        if index < first or not missing:
            yield frame


def repeated(frames: Iterable[CameraFrame], every: int) -> Iterator[CameraFrame]:
    """Every `every`-th frame comes a second time, stamp and all."""
    for index, frame in enumerate(frames):
        yield frame
        if index % every == every - 1:
            yield frame


def vanishes(
    frames: Iterable[CameraFrame], first: int, count: int, message: str = "the camera was unplugged"
) -> Iterator[CameraFrame | HardwareError]:
    """In place of `count` frames stand HardwareErrors, one for each; then the camera is back. For `StreamCamera`."""
    for index, frame in enumerate(frames):
        yield HardwareError(message) if first <= index < first + count else frame


def outage(frames: Iterable[CameraFrame], first: int, duration_s: float) -> Iterator[CameraFrame]:
    """Nothing comes for `duration_s` from frame `first` on: what is left of `vanishes` for those who wait it out."""
    gone_ns: int | None = None
    for index, frame in enumerate(frames):
        if index == first:
            gone_ns = frame.stamp_ns
        if gone_ns is None or frame.stamp_ns >= gone_ns + round(duration_s * NS_PER_S):
            yield frame


class StreamCamera:
    """Plays a stream as a camera: frames are given, errors in it are raised, at its end comes None."""

    def __init__(self, stream: Iterable[CameraFrame | HardwareError]) -> None:
        self._stream = iter(stream)
        self._counter = RecordingCounter()
        self._closed = threading.Event()

    def read(self, timeout_s: float) -> CameraFrame | None:
        item = None if self._closed.is_set() else next(self._stream, None)
        if isinstance(item, HardwareError):
            raise item
        if item is not None:
            self._counter.count(item.stamp_ns)
        return item

    def close(self) -> None:
        self._closed.set()

    @property
    def statistics(self) -> CameraStatistics:
        return self._counter.statistics


def frames_of(camera):
    """All frames of a recording."""
    frames = []
    while (frame := camera.read(0.1)) is not None:
        frames.append(frame)
    camera.close()
    return frames
