"""Track health: from what the tracker says to tracked, occluded or lost, with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.types import PointTracks, TrackHealth


@dataclass(frozen=True)
class TrackHealthConfig:
    """When a point counts as tracked, occluded or lost. Frames are those given to the monitor.

    Attributes:
        min_confidence: Least confidence (similarity times forward-backward agreement) of a tracked point.
        max_jump_share: Largest plausible motion between two frames, as a share of the image's diagonal.
        frames_to_recover: Good frames in a row before an occluded or lost point is trusted again.
        frames_to_lose: Bad frames in a row before an occluded point is lost; 60 are two seconds at 30 Hz, the
            time that an arm needs to pass.
    """

    min_confidence: float = 0.3
    max_jump_share: float = 0.1
    frames_to_recover: int = 2
    frames_to_lose: int = 60

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_confidence <= 1.0 or not 0.0 < self.max_jump_share <= 1.0:
            raise ConfigError(
                "min_confidence and max_jump_share must lie in 0..1, not "
                f"{self.min_confidence}, {self.max_jump_share}"
            )
        if self.frames_to_recover < 1 or self.frames_to_lose < 1:
            raise ConfigError(
                "frames_to_recover and frames_to_lose must be 1 or more, not "
                f"{self.frames_to_recover}, {self.frames_to_lose}"
            )


class TrackHealthMonitor:
    """Turns the tracks of one episode into health, frame by frame. One thread; make a new one per episode.

    A point that is not good in a frame is occluded at once, since its patch must not be used; hysteresis lies
    on the way back and on the way to lost.

    Args:
        config: Limits.
        width_px: Of the image; points outside it are not good.
        height_px: Of the image.
    """

    def __init__(self, config: TrackHealthConfig, width_px: int, height_px: int) -> None:
        self._config = config
        self._size = np.array([width_px, height_px], float)
        self._last: PointTracks | None = None
        self._health = np.zeros(0, np.int64)
        self._good_frames = np.zeros(0, np.int64)
        self._bad_frames = np.zeros(0, np.int64)

    def update(self, tracks: PointTracks) -> Int[np.ndarray, "n"]:
        """Return the `TrackHealth` of each point in this frame.

        Raises:
            InvalidValueError: the number of points changed within the episode.
        """
        if self._last is not None and len(tracks) != len(self._last):
            raise InvalidValueError(
                f"the tracker answered {len(tracks)} points after {len(self._last)}; start a new episode instead"
            )
        good = self._good(tracks)
        if self._last is None:
            self._health = np.where(good, TrackHealth.TRACKED, TrackHealth.OCCLUDED).astype(np.int64)
            self._good_frames, self._bad_frames = good.astype(np.int64), (~good).astype(np.int64)
        else:
            self._good_frames = np.where(good, self._good_frames + 1, 0)
            self._bad_frames = np.where(good, 0, self._bad_frames + 1)
            self._health[~good & (self._health == TrackHealth.TRACKED)] = TrackHealth.OCCLUDED
            self._health[self._bad_frames >= self._config.frames_to_lose] = TrackHealth.LOST
            self._health[self._good_frames >= self._config.frames_to_recover] = TrackHealth.TRACKED
        self._last = tracks
        return self._health.copy()

    def _good(self, tracks: PointTracks) -> Bool[np.ndarray, "n"]:
        inside = np.all((tracks.xy_px >= -0.5) & (tracks.xy_px < self._size - 0.5), axis=1)
        good = tracks.visible & inside & (tracks.confidence >= self._config.min_confidence)
        if self._last is not None:
            jump_px = np.linalg.norm(tracks.xy_px - self._last.xy_px, axis=1)
            good &= jump_px <= self._config.max_jump_share * np.linalg.norm(self._size)
        result: np.ndarray = good
        return result
