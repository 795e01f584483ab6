"""The perception pipeline: a frame in, key-patches out. The one object that every host runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from glue_perception.back_ends import (
    BACK_ENDS,
    DETECTORS,
    FEATURES,
    SEGMENTERS,
    TRACKERS,
    build_extractor,
    build_tracker,
)
from glue_perception.errors import NotReadyError, QueryError
from glue_perception.keypoint_extractor import Extraction, KeypointExtractor, extraction_of
from glue_perception.perception_config import PROFILES, PerceptionConfig
from glue_perception.perception_episode import EpisodeParts, PerceptionEpisode
from glue_perception.preflight import Preflight
from glue_perception.redetection.config import RedetectionConfig, RedetectionCounts, RedetectionMode
from glue_perception.redetection.worker import SearchWorker
from glue_perception.stream_monitor import StreamConfig, StreamCounts
from glue_perception.track_health import TrackHealthConfig
from glue_perception.trackers.base import PointTracker, ReplacingTracker
from glue_perception.trackers.restarting import RestartingTracker
from glue_perception.types import CameraFrame, KeyPatches

__all__ = [
    "BACK_ENDS",
    "DETECTORS",
    "FEATURES",
    "PROFILES",
    "SEGMENTERS",
    "TRACKERS",
    "PerceptionConfig",
    "PerceptionPipeline",
    "build_pipeline",
]


class PerceptionPipeline:
    """Extracts keypoints once per episode, then gives key-patches for every frame.

    Life cycle: `start` begins an episode and forgets the one before; `update` is called for every later frame, by one
    thread; `close` at the end (or use it as a context manager). Whatever the stream does, `update` answers, and what
    it cannot vouch for is not visible. Lost objects are looked for again in a thread of its own. The same frames give
    the same answers bit for bit with `RedetectionMode.WAIT`; with BACKGROUND as long as searches are done in time,
    and otherwise if the record of when they were taken in (`KeyPatches.redetected_from_ns`) is given to `start`.

    Args:
        extractor: From queries to keypoints.
        tracker: From keypoints to tracks. One that cannot replace points is started again where points are replaced.
        health: Limits of track health.
        queries: One text per task-relevant object.
        stream: What counts as a fault of the stream.
        redetection: When lost objects are looked for again.
        mode: Whether a frame at which a search is due waits for it: WAIT offline, BACKGROUND on a robot.
    """

    def __init__(
        self,
        extractor: KeypointExtractor,
        tracker: PointTracker,
        health: TrackHealthConfig,
        queries: Sequence[str],
        stream: StreamConfig | None = None,
        redetection: RedetectionConfig | None = None,
        mode: RedetectionMode = RedetectionMode.BACKGROUND,
    ) -> None:
        if not queries:
            raise QueryError("there are no queries; name at least one object, e.g. 'red button'")
        self.queries = tuple(queries)
        self._parts = EpisodeParts(
            extractor=extractor,
            tracker=tracker if isinstance(tracker, ReplacingTracker) else RestartingTracker(tracker),
            worker=SearchWorker(),
            health=health,
            stream=stream or StreamConfig(),
            redetection=redetection or RedetectionConfig(),
            mode=mode,
            queries=self.queries,
        )
        self._episode: PerceptionEpisode | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def preflight(self, frame: CameraFrame) -> Preflight:
        """Return what would be found and refused if an episode began with this frame; changes nothing.

        Raises:
            ConfigError: `num_keypoints` is too small for the number of queries.
        """
        return self._parts.extractor.preflight(frame, self.queries)

    def start(
        self,
        frame: CameraFrame,
        taken_in: Mapping[int, int] | None = None,
        *,
        found: Preflight | None = None,
    ) -> Extraction:
        """Begin an episode; `key_patches` then holds those of this first frame.

        Args:
            frame: The first.
            taken_in: To repeat a recorded episode: stamp of each frame whose `redetected_from_ns` is not 0 -> that
                stamp. None lets every search be taken in when it is due.
            found: What `preflight` said of this very frame, so that nothing is looked for twice; None: look now.

        Raises:
            QueryError: a query cannot be answered in this frame; no episode is running then.
        """
        self._end_episode()
        extraction = extraction_of(found or self.preflight(frame))
        self._episode = PerceptionEpisode(self._parts, frame, extraction, taken_in)
        return extraction

    def update(self, frame: CameraFrame) -> KeyPatches:
        """Return the key-patches of `frame`; the frame of the last call again gives the same answer.

        Once an episode runs this never raises. Black, overexposed, frozen and late frames, and a tracker that fails,
        give key-patches that are not visible; see docs/track_health.md.

        Raises:
            NotReadyError: `start` was not called, or it failed.
        """
        return self._running().update(frame)

    def close(self) -> None:
        """End the episode and wait for the thread that looks for lost objects. Safe to call twice."""
        self._end_episode()
        self._parts.worker.close()

    @property
    def key_patches(self) -> KeyPatches:
        """Those of the newest frame given to `start` or `update`.

        Raises:
            NotReadyError: no episode is running.
        """
        return self._running().key_patches

    @property
    def extraction(self) -> Extraction:
        """What the running episode began with.

        Raises:
            NotReadyError: no episode is running.
        """
        return self._running().extraction

    @property
    def stream_counts(self) -> StreamCounts:
        """What the stream of the running episode did wrong so far; NotReadyError if none is running."""
        return self._running().stream_counts

    @property
    def redetection_counts(self) -> RedetectionCounts:
        """What became of the running episode's searches so far; NotReadyError if none is running."""
        return self._running().redetection_counts

    @property
    def last_error(self) -> str | None:
        """What the tracker said when it last failed in the running episode, or None."""
        return self._running().last_error

    def _running(self) -> PerceptionEpisode:
        if self._episode is None:
            raise NotReadyError("no episode is running; call start with its first frame")
        return self._episode

    def _end_episode(self) -> None:
        if self._episode is not None:
            self._episode.end()
            self._episode = None


def build_pipeline(
    config: PerceptionConfig, queries: Sequence[str], mode: RedetectionMode = RedetectionMode.BACKGROUND
) -> PerceptionPipeline:
    """Return the pipeline that a configuration names.

    Args:
        config: Back-ends and limits.
        queries: One text per object.
        mode: See `PerceptionPipeline`.

    Raises:
        QueryError: there are no queries.
        ConfigError: the configuration asks for what cannot be (e.g. detector `given` without boxes).
    """
    return PerceptionPipeline(
        build_extractor(config),
        build_tracker(config, waits=mode is RedetectionMode.WAIT),
        config.health,
        queries,
        config.stream,
        config.redetection,
        mode,
    )
