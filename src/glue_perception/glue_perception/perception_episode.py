"""One episode of perception: every frame gets an answer, whatever the camera and the tracker do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, Int

from glue_perception.first_templates import FirstTemplates
from glue_perception.key_patches import key_patches_from_tracks
from glue_perception.keypoint_extractor import Extraction, KeypointExtractor
from glue_perception.redetection.config import RedetectionConfig, RedetectionCounts, RedetectionMode
from glue_perception.redetection.redetector import Redetector, TakenIn
from glue_perception.redetection.worker import SearchWorker
from glue_perception.stream_monitor import FrameVerdict, StreamConfig, StreamCounts, StreamMonitor
from glue_perception.track_health import TrackHealthConfig, TrackHealthMonitor
from glue_perception.trackers.base import ReplacingTracker
from glue_perception.types import CameraFrame, KeyPatches, PointTracks, TrackHealth

_LOG = logging.getLogger(__name__)
_MAX_ASPECT_CHANGE = 0.01


@dataclass(frozen=True)
class EpisodeParts:
    """What an episode works with; the same for all episodes of a pipeline."""

    extractor: KeypointExtractor
    tracker: ReplacingTracker
    worker: SearchWorker
    health: TrackHealthConfig
    stream: StreamConfig
    redetection: RedetectionConfig
    mode: RedetectionMode
    queries: tuple[str, ...]


class PerceptionEpisode:
    """Frames in, key-patches out, from the first frame of an episode on. One thread.

    Args:
        parts: What it works with.
        frame: The first frame.
        extraction: What was found in it.
        taken_in: See `Redetector`.

    Attributes:
        extraction: What was found in the first frame.
        key_patches: Of the newest frame.
        last_error: What the tracker said when it last failed, or None.
    """

    _health: TrackHealthMonitor
    _templates: FirstTemplates

    def __init__(
        self,
        parts: EpisodeParts,
        frame: CameraFrame,
        extraction: Extraction,
        taken_in: Mapping[int, int] | None = None,
    ) -> None:
        self.extraction = extraction
        self.last_error: str | None = None
        self._parts = parts
        self._stream = StreamMonitor(parts.stream, frame)
        self._redetector = Redetector(
            parts.extractor,
            parts.worker,
            parts.redetection,
            parts.mode,
            frame,
            extraction,
            parts.queries,
            taken_in,
        )
        tracks = parts.tracker.start(frame, extraction.keypoints)
        self._begin_at_size(frame, tracks.xy_px)
        self._tracker_runs = True
        self._placed = np.ones(len(extraction.keypoints), bool)
        tracks = self._completed(tracks, frame)
        self.key_patches = self._answer(frame, tracks, self._health.update(tracks))

    @property
    def stream_counts(self) -> StreamCounts:
        """What the stream did wrong so far."""
        return self._stream.counts

    @property
    def redetection_counts(self) -> RedetectionCounts:
        """What became of the searches so far."""
        return self._redetector.counts

    def update(self, frame: CameraFrame) -> KeyPatches:
        """Return the key-patches of the next frame. Never raises; see docs/track_health.md for what it says when."""
        verdict = self._stream.judge(frame)
        if verdict is FrameVerdict.REPEATED:
            return self.key_patches
        if verdict is FrameVerdict.OUT_OF_ORDER:
            health = self._health.health
            health[health == TrackHealth.TRACKED] = TrackHealth.OCCLUDED
            return self._answer(frame, self._unseen(frame), health)
        if verdict is FrameVerdict.GOOD:
            self.key_patches = self._see(frame)
        else:
            self.key_patches = self._answer(frame, self._unseen(frame), self._health.hide())
        return self.key_patches

    def end(self) -> None:
        """Forget the search under way."""
        self._redetector.cancel()

    def _see(self, frame: CameraFrame) -> KeyPatches:
        seen = self._at_episode_size(frame)
        tracks = self._track(seen)
        health = self._health.update(tracks) if self._tracker_runs else self._health.health
        taken = self._redetect(seen, tracks, health)
        if taken is not None and len(taken.index):
            tracks = self._put(seen, tracks, taken)
            health = self._health.health
        self._xy_px = tracks.xy_px
        return self._answer(frame, tracks, health, 0 if taken is None else taken.from_ns)

    def _track(self, frame: CameraFrame) -> PointTracks:
        if self._tracker_runs:
            try:
                return self._completed(self._parts.tracker.update(frame), frame)
            except Exception as error:  # a network may fail in any way; the stream goes on
                self._fail(error)
        return self._unseen(frame)

    def _completed(self, tracks: PointTracks, frame: CameraFrame) -> PointTracks:
        """Return the tracker's answer with what it does not say itself."""
        if len(tracks) != len(self._placed):
            raise ValueError(f"the tracker answered {len(tracks)} points of {len(self._placed)}")
        similarity = tracks.first_similarity
        if similarity is None:
            similarity = self._templates.similarity(frame, tracks.xy_px)
        return replace(
            tracks,
            stamp_ns=frame.stamp_ns,
            visible=tracks.visible & self._placed,
            first_similarity=similarity,
        )

    def _redetect(
        self, frame: CameraFrame, tracks: PointTracks, health: Int[np.ndarray, "n"]
    ) -> TakenIn | None:
        try:
            return self._redetector.step(frame, tracks.xy_px, health, urgent=not self._tracker_runs)
        except Exception as error:  # looking for lost objects must not cost those that are there
            self._redetector.failed(frame.stamp_ns, error)
            return None

    def _put(self, frame: CameraFrame, tracks: PointTracks, taken: TakenIn) -> PointTracks:
        """Give the tracker the new places of lost points, or all places if it has to be started again."""
        places = tracks.xy_px.copy()
        places[taken.index] = taken.xy_px
        try:
            if self._tracker_runs:
                self._parts.tracker.replace(frame, taken.index, taken.xy_px)
            else:
                inside = np.clip(places, 0.0, [frame.width_px - 1.0, frame.height_px - 1.0])
                self._parts.tracker.start(frame, replace(self.extraction.keypoints, xy_px=inside))
                self._placed[:] = False
        except Exception as error:
            self._fail(error)
            return self._unseen(frame)
        self._tracker_runs = True
        self._placed[taken.index] = True
        self._templates.replace(frame, taken.index, taken.xy_px)
        visible = tracks.visible.copy()
        visible[taken.index] = False  # in the next frame they have to prove themselves
        tracks = replace(tracks, xy_px=places, visible=visible)
        self._health.replace(taken.index, tracks)
        return tracks

    def _fail(self, error: Exception) -> None:
        """Take note of a tracker that raised; it starts again on the points that re-detection finds."""
        self._stream.counts.tracker_errors += 1
        if self.last_error is None:
            _LOG.error("the tracker failed and is started again by re-detection", exc_info=error)
        self.last_error = f"{type(error).__name__}: {error}"
        self._lose_all()

    def _lose_all(self) -> None:
        self._redetector.cancel()
        self._tracker_runs = False
        self._placed[:] = False
        self._health.lose()

    def _begin_at_size(self, frame: CameraFrame, xy_px: Float[np.ndarray, "n 2"]) -> None:
        self._size = (frame.width_px, frame.height_px)
        self._xy_px = xy_px
        self._templates = FirstTemplates(frame, xy_px)
        self._health = TrackHealthMonitor(
            self._parts.health, frame.width_px, frame.height_px, self.extraction.keypoints.query_index
        )

    def _at_episode_size(self, frame: CameraFrame) -> CameraFrame:
        """Return the frame as the tracker knows frames; of another aspect, everything begins anew at its size."""
        scale = self._scale(frame)
        if scale[0] == scale[1] == 1.0:
            return frame
        if abs(scale[0] / scale[1] - 1.0) > _MAX_ASPECT_CHANGE:
            self._begin_at_size(frame, _scaled(self._xy_px, scale))
            self._lose_all()
            return frame
        shrinks = frame.width_px > self._size[0]
        rgb = cv2.resize(frame.rgb, self._size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        intrinsics = np.diag([1.0 / scale[0], 1.0 / scale[1], 1.0]) @ frame.intrinsics
        return CameraFrame(frame.stamp_ns, frame.frame_id, rgb, intrinsics)

    def _scale(self, frame: CameraFrame) -> Float[np.ndarray, "2"]:
        return np.array([frame.width_px / self._size[0], frame.height_px / self._size[1]])

    def _unseen(self, frame: CameraFrame) -> PointTracks:
        """Return the last known places as a tracker's answer that sees nothing."""
        n = len(self._xy_px)
        return PointTracks(frame.stamp_ns, self._xy_px, np.zeros(n, bool), np.zeros(n))

    def _answer(
        self,
        frame: CameraFrame,
        tracks: PointTracks,
        health: Int[np.ndarray, "n"],
        redetected_from_ns: int = 0,
    ) -> KeyPatches:
        scale = self._scale(frame)
        if scale[0] != 1.0 or scale[1] != 1.0:
            tracks = replace(tracks, xy_px=_scaled(tracks.xy_px, scale))
        patches = key_patches_from_tracks(
            tracks, health, self.extraction.keypoints.query_index, frame.width_px, frame.height_px
        )
        return replace(patches, redetected_from_ns=redetected_from_ns) if redetected_from_ns else patches


def _scaled(xy_px: Float[np.ndarray, "n 2"], scale: Float[np.ndarray, "2"]) -> Float[np.ndarray, "n 2"]:
    scaled: np.ndarray = (xy_px + 0.5) * scale - 0.5
    return scaled
