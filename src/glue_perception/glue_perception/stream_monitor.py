"""What a camera's stream does wrong, frame by frame: the part of perception that looks at frames, not at objects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import cv2
import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import ConfigError
from glue_perception.timing import NS_PER_S
from glue_perception.types import CameraFrame

_SAMPLES = 120
_CELLS = 16
"""Along a side. Contrast is that between averaged cells: sensor noise in the dark is not structure."""


class FrameVerdict(StrEnum):
    """What may be done with a frame. Only GOOD ones go to the tracker."""

    GOOD = "good"
    REPEATED = "repeated"
    OUT_OF_ORDER = "out_of_order"
    BLACK = "black"
    OVEREXPOSED = "overexposed"
    FROZEN = "frozen"


@dataclass(frozen=True)
class StreamConfig:
    """Limits of the stream.

    Attributes:
        max_frozen_s: A picture that repeats to the last bit under new stamps for longer than this is not the scene
            any more; None never says so. A real sensor has noise; a simulated one has none and repeats whenever
            nothing moves, so hosts of a simulator set None.
        min_contrast: Least difference, in grey levels, between the darkest and the brightest parts of a frame.
        max_gap_s: Frames further apart are counted as a gap.

    Raises:
        ConfigError: a limit is not positive.
    """

    max_frozen_s: float | None = 0.5
    min_contrast: float = 8.0
    max_gap_s: float = 0.15

    def __post_init__(self) -> None:
        for name in ("max_frozen_s", "min_contrast", "max_gap_s"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < np.inf:
                raise ConfigError(f"{name} must be positive, not {value}")


@dataclass
class StreamCounts:
    """How many frames of an episode were of each kind, for diagnostics.

    Attributes:
        frames: All, the first included.
        black: Without structure and dark.
        overexposed: Without structure and bright.
        frozen: Repeats for longer than `max_frozen_s`.
        out_of_order: Older than the frame before.
        repeated: Of the same stamp as the frame before.
        gaps: Longer than `max_gap_s` after the frame before.
        resolution_changes: Of another size than the frame before.
        tracker_errors: At which the tracker raised.
    """

    frames: int = 0
    black: int = 0
    overexposed: int = 0
    frozen: int = 0
    out_of_order: int = 0
    repeated: int = 0
    gaps: int = 0
    resolution_changes: int = 0
    tracker_errors: int = 0

    def as_mapping(self) -> dict[str, int]:
        """Return plain values for a report."""
        return asdict(self)


class StreamMonitor:
    """Judges the frames of one episode in the order in which they come. One thread; one per episode.

    It goes by stamps and pixels alone, so that the same frames get the same verdicts live and in a replay.
    """

    def __init__(self, config: StreamConfig, first: CameraFrame) -> None:
        self._config = config
        self.counts = StreamCounts(frames=1)
        self._last = first
        self._frozen_since_ns = first.stamp_ns

    def judge(self, frame: CameraFrame) -> FrameVerdict:
        """Return what may be done with the next frame, and count it."""
        counts, last = self.counts, self._last
        counts.frames += 1
        if frame.stamp_ns < last.stamp_ns:
            counts.out_of_order += 1
            return FrameVerdict.OUT_OF_ORDER
        if frame.stamp_ns == last.stamp_ns:
            counts.repeated += 1
            return FrameVerdict.REPEATED
        counts.gaps += frame.stamp_ns - last.stamp_ns > self._config.max_gap_s * NS_PER_S
        counts.resolution_changes += frame.rgb.shape != last.rgb.shape
        if not np.array_equal(frame.rgb, last.rgb):
            self._frozen_since_ns = frame.stamp_ns
        self._last = frame
        return self._judge_picture(frame)

    def _judge_picture(self, frame: CameraFrame) -> FrameVerdict:
        blank = blank_kind(frame.rgb, self._config.min_contrast)
        if blank is FrameVerdict.BLACK:
            self.counts.black += 1
        elif blank is FrameVerdict.OVEREXPOSED:
            self.counts.overexposed += 1
        if blank is not None:
            return blank
        limit_s = self._config.max_frozen_s
        if limit_s is not None and frame.stamp_ns - self._frozen_since_ns > limit_s * NS_PER_S:
            self.counts.frozen += 1
            return FrameVerdict.FROZEN
        return FrameVerdict.GOOD


def blank_kind(rgb: UInt8[np.ndarray, "height width 3"], min_contrast: float) -> FrameVerdict | None:
    """Return BLACK or OVEREXPOSED for a picture without structure, else None."""
    step = max(1, min(rgb.shape[:2]) // _SAMPLES)
    samples = np.ascontiguousarray(rgb[::step, ::step])
    cells = (min(_CELLS, samples.shape[1]), min(_CELLS, samples.shape[0]))
    small = cv2.resize(samples, cells, interpolation=cv2.INTER_AREA)
    if np.ptp(small.reshape(-1, 3), axis=0).max() >= min_contrast:
        return None
    return FrameVerdict.BLACK if small.mean() < 128 else FrameVerdict.OVEREXPOSED
