"""Track health: from what the tracker says to tracked, occluded or lost, with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.timing import NS_PER_S
from glue_perception.trackers.object_motion import fit_motion
from glue_perception.types import PointTracks, TrackHealth

_MAX_STEP_NS = 250_000_000
"""What one frame adds to how long a point has been good or bad: while no frames came, nothing was seen of it."""

_MIN_WITNESSES = 4


@dataclass(frozen=True)
class TrackHealthConfig:
    """When a point counts as tracked, occluded or lost. Times are between the stamps of frames, whatever the rate.

    Attributes:
        min_confidence: Least confidence that the tracker must have in a tracked point.
        min_first_similarity: Least likeness of a tracked point to what it looked like when it was chosen.
        similarity_margin: How much more of both a hidden point needs before it is trusted again.
        max_round_trip_px: Largest forward-backward error, at 480 rows; grows with the image. A hidden point needs
            two thirds of it to come back.
        max_speed_per_s: Largest plausible speed, in image diagonals per second; 3 cross the image in 0.3 s.
        min_jump_share: Motion that is plausible between any two frames, as a share of the image's diagonal, so that
            jitter of the stamps decides nothing.
        max_deviation_share: How far a point may leave the common motion of its object between two frames, as a share
            of the diagonal; plus half of that motion, as cloth folds and perspective stretches.
        recover_after_s: How long a hidden point must be good before it is tracked again; two frames at 30 Hz.
        unsteady_recover_after_s: The same for a point that was hidden again within `steady_after_s` of coming back.
        steady_after_s: A point that has been tracked for so long is steady again.
        lose_after_s: How long a point must be bad before it is lost; two seconds are what an arm needs to pass.
    """

    min_confidence: float = 0.3
    min_first_similarity: float = 0.1
    similarity_margin: float = 0.05
    max_round_trip_px: float = 3.0
    max_speed_per_s: float = 3.0
    min_jump_share: float = 0.1
    max_deviation_share: float = 0.03
    recover_after_s: float = 0.03
    unsteady_recover_after_s: float = 0.25
    steady_after_s: float = 0.5
    lose_after_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("min_confidence", "min_first_similarity", "similarity_margin"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1, not {getattr(self, name)}")
        for name in ("min_jump_share", "max_deviation_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1 and not be 0, not {getattr(self, name)}")
        for name in ("max_round_trip_px", "max_speed_per_s", "lose_after_s"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if not 0.0 <= self.recover_after_s <= self.unsteady_recover_after_s < np.inf:
            raise ConfigError(
                "times must satisfy 0 <= recover_after_s <= unsteady_recover_after_s, not "
                f"{self.recover_after_s}, {self.unsteady_recover_after_s}"
            )
        if not 0.0 <= self.steady_after_s <= 2.0 * self.unsteady_recover_after_s:
            raise ConfigError(
                "steady_after_s must be at most twice unsteady_recover_after_s, or points may flicker, not "
                f"{self.steady_after_s}, {self.unsteady_recover_after_s}"
            )


class TrackHealthMonitor:
    """Turns the tracks of one episode into health, frame by frame. One thread; make a new one per episode.

    A point that is not good in a frame is occluded at once, since its patch must not be used; hysteresis lies on
    the way back and on the way to lost. No signal, however noisy, makes a point flicker, which means: become
    tracked again more than twice within `steady_after_s`. What the stream hides (`hide`) does not count as
    the point's own unsteadiness.

    Args:
        config: Limits.
        width_px: Of the image; points outside it are not good.
        height_px: Of the image.
        query_index: Which object each point belongs to; without it, points are not compared with their object's
            common motion.
    """

    def __init__(
        self,
        config: TrackHealthConfig,
        width_px: int,
        height_px: int,
        query_index: Int[np.ndarray, "n"] | None = None,
    ) -> None:
        self._config = config
        self._size = np.array([width_px, height_px], float)
        self._objects: list[Int[np.ndarray, "members"]] = []
        self._last: PointTracks | None = None
        self._reset(0)
        if query_index is not None:
            self._objects = [np.flatnonzero(query_index == q) for q in np.unique(query_index)]
            self._reset(len(query_index))

    def _reset(self, num_points: int) -> None:
        n = num_points
        self._health = np.full(n, TrackHealth.OCCLUDED, np.int64)
        self._was_good = np.zeros(n, bool)
        self._good_ns, self._bad_ns, self._tracked_ns = (np.zeros(n, np.int64) for _ in range(3))
        self._steady = np.ones(n, bool)

    @property
    def health(self) -> Int[np.ndarray, "n"]:
        """`TrackHealth` of each point as last worked out; a copy."""
        return self._health.copy()

    def update(self, tracks: PointTracks) -> Int[np.ndarray, "n"]:
        """Return the `TrackHealth` of each point in this frame.

        Raises:
            InvalidValueError: the number of points is not that of the episode.
        """
        if self._last is None and not self._objects:
            self._reset(len(tracks))
        if len(tracks) != len(self._health):
            raise InvalidValueError(
                f"the tracker answered {len(tracks)} points after {len(self._health)}; start a new episode instead"
            )
        good = self._good(tracks)
        if self._last is None:
            self._health = np.where(good, TrackHealth.TRACKED, TrackHealth.OCCLUDED).astype(np.int64)
            # They were chosen in this frame: nothing speaks against their first recovery.
            self._tracked_ns[:] = round(self._config.steady_after_s * NS_PER_S)
        else:
            self._advance(good, min(tracks.stamp_ns - self._last.stamp_ns, _MAX_STEP_NS))
        self._was_good, self._last = good, tracks
        return self.health

    def hide(self) -> Int[np.ndarray, "n"]:
        """Return the health in a frame that shows nothing: what was tracked is occluded, and no clock runs."""
        self._health[self._health == TrackHealth.TRACKED] = TrackHealth.OCCLUDED
        self._was_good[:] = False
        self._good_ns[:] = 0
        return self.health

    def lose(self, index: Int[np.ndarray, "k"] | slice = slice(None)) -> None:
        """Say that points are gone for good unless they are replaced, e.g. since their tracker failed."""
        self._health[index] = TrackHealth.LOST
        self._was_good[index] = False
        self._good_ns[index] = 0

    def replace(self, index: Int[np.ndarray, "k"], tracks: PointTracks) -> Int[np.ndarray, "n"]:
        """Take points that were put elsewhere in this frame: occluded until they have proved good for a while.

        Args:
            index: The points.
            tracks: All points of the last frame given to `update`, the new places among them.
        """
        self._health[index] = TrackHealth.OCCLUDED
        self._was_good[index] = False
        self._good_ns[index] = self._bad_ns[index] = 0
        self._steady[index] = True
        self._last = tracks
        return self.health

    def _advance(self, good: Bool[np.ndarray, "n"], step_ns: int) -> None:
        config, was_tracked = self._config, self._health == TrackHealth.TRACKED
        self._good_ns = np.where(good & self._was_good, self._good_ns + step_ns, 0)
        self._bad_ns = np.where(good, 0, self._bad_ns + np.where(self._was_good, 0, step_ns))
        self._tracked_ns = np.where(was_tracked, self._tracked_ns + step_ns, 0)
        hidden = was_tracked & ~good
        self._steady[hidden] = self._tracked_ns[hidden] >= config.steady_after_s * NS_PER_S
        self._health[hidden] = TrackHealth.OCCLUDED
        self._health[~good & (self._bad_ns >= config.lose_after_s * NS_PER_S)] = TrackHealth.LOST
        need_s = np.where(self._steady, config.recover_after_s, config.unsteady_recover_after_s)
        recovers = good & ~was_tracked & (self._good_ns >= need_s * NS_PER_S)
        self._tracked_ns[recovers] = 0
        self._health[recovers] = TrackHealth.TRACKED

    def _good(self, tracks: PointTracks) -> Bool[np.ndarray, "n"]:
        config = self._config
        hidden = (self._health != TrackHealth.TRACKED) & (self._last is not None)
        margin = np.where(hidden, config.similarity_margin, 0.0)
        inside = np.all((tracks.xy_px >= -0.5) & (tracks.xy_px < self._size - 0.5), axis=1)
        good: np.ndarray = tracks.visible & inside
        good &= tracks.confidence >= config.min_confidence + margin
        if tracks.first_similarity is not None:
            good &= tracks.first_similarity >= config.min_first_similarity + margin
        if tracks.round_trip_px is not None:
            scale = float(self._size.min()) / 480.0
            limit_px = config.max_round_trip_px * np.where(hidden, 2.0 / 3.0, 1.0)
            good &= tracks.round_trip_px <= limit_px * scale
        if self._last is not None:
            good &= self._plausible(tracks, self._last, good)
        return good

    def _plausible(
        self, now: PointTracks, last: PointTracks, good: Bool[np.ndarray, "n"]
    ) -> Bool[np.ndarray, "n"]:
        """Return which points moved no faster than things move, and with their object."""
        config, diagonal = self._config, float(np.linalg.norm(self._size))
        elapsed_s = max(0, now.stamp_ns - last.stamp_ns) / NS_PER_S
        jump_px = np.linalg.norm(now.xy_px - last.xy_px, axis=1)
        plausible = jump_px <= diagonal * max(config.min_jump_share, config.max_speed_per_s * elapsed_s)
        tolerance_px = config.max_deviation_share * diagonal
        for members in self._objects:
            witnesses = members[good[members] & self._was_good[members]]
            # Points that have all moved less than half the tolerance cannot be further apart than that.
            if len(witnesses) < _MIN_WITNESSES or jump_px[witnesses].max() <= 0.5 * tolerance_px:
                continue
            common = fit_motion(last.xy_px[witnesses], now.xy_px[witnesses], tolerance_px).apply(
                last.xy_px[witnesses]
            )
            moved_px = np.linalg.norm(common - last.xy_px[witnesses], axis=1)
            apart_px = np.linalg.norm(now.xy_px[witnesses] - common, axis=1)
            plausible[witnesses] &= apart_px <= tolerance_px + 0.5 * moved_px
        result: np.ndarray = plausible
        return result
