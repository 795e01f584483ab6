"""One tracker over one labelled clip: where it says the points are in every frame, and what health calls them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int

from glue_perception.cameras.clip import ClipCamera
from glue_perception.errors import ConfigError
from glue_perception.first_templates import FirstTemplates
from glue_perception.track_health import TrackHealthConfig, TrackHealthMonitor
from glue_perception.trackers.base import PointTracker
from glue_perception.tracking_benchmark.labels import LabelledClip
from glue_perception.types import CameraFrame, Keypoints, PointTracks, TrackHealth

NOT_STARTED = -1


@dataclass(frozen=True, eq=False)
class ClipRun:
    """What a tracker answered.

    Attributes:
        xy_px: In px of the labels; NaN before a point was started.
        health: `TrackHealth`, or NOT_STARTED before a point was started.
        update_ms: Wall time of each update.
        num_frames: Frames that were shown.
        rate_hz: Of the clip.
    """

    xy_px: Float[np.ndarray, "frames n 2"]
    health: Int[np.ndarray, "frames n"]
    update_ms: list[float]
    num_frames: int
    rate_hz: float


def find_clip(folder: Path, name: str) -> Path | None:
    """Return the file in `folder` that is called `name`, with or without a suffix."""
    if Path(name).name != name or not folder.is_dir():
        return None
    for path in sorted(folder.iterdir()):
        if path.is_file() and name in (path.name, path.stem):
            return path
    return None


def run_clip(
    path: Path,
    clip: LabelledClip,
    make_tracker: Callable[[], PointTracker],
    health: TrackHealthConfig,
    size_px: tuple[int, int] | None = None,
    on_frame: Callable[[CameraFrame, int], None] = lambda frame, index: None,
) -> ClipRun:
    """Track all labelled points of a clip to its end.

    The tracker is started once, at the points that are labelled visible in the first labelled frame. Points that
    are first seen later get a tracker of their own, started at their first visible label.

    Args:
        path: The video.
        clip: Its labels.
        make_tracker: Makes a fresh tracker.
        health: Limits of track health.
        size_px: Width and height to which frames are brought first; the clip's own if None.
        on_frame: Called with every frame (as the tracker saw it) and its number, e.g. for progress.

    Raises:
        ConfigError: a labelled frame lies beyond the clip's end.
    """
    starts: dict[int, list[int]] = {}
    for index, point in enumerate(clip.points):
        starts.setdefault(point.first_visible or 0, []).append(index)
    groups: list[_Group] = []
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    update_ms: list[float] = []
    camera = ClipCamera(path)
    try:
        for index, frame in enumerate(_resized(camera.frames(), size_px)):
            begin = time.perf_counter()
            for group in groups:
                group.update(frame)
            if groups:
                update_ms.append((time.perf_counter() - begin) * 1e3)
            if index in starts:
                groups.append(_Group(clip, starts[index], frame, index, make_tracker(), health))
            rows.append(_row(groups, len(clip.points)))
            on_frame(frame, index)
    finally:
        camera.close()
    if len(rows) <= clip.last_frame:
        raise ConfigError(
            f"{path} has {len(rows)} frames, but frame {clip.last_frame} is labelled; "
            "are these the labels of another cut of it?"
        )
    xy, state = (np.stack(part) for part in zip(*rows, strict=True))
    return ClipRun(xy, state, update_ms, len(rows), camera.rate_hz)


class _Group:
    """The points that start in one frame, with their tracker and their health."""

    def __init__(
        self,
        clip: LabelledClip,
        members: list[int],
        frame: CameraFrame,
        index: int,
        tracker: PointTracker,
        health: TrackHealthConfig,
    ) -> None:
        self.members = members
        size = np.array([frame.width_px, frame.height_px], float)
        self._scale = size / [clip.width_px, clip.height_px]
        queries = list(dict.fromkeys(point.query for point in clip.points))
        labels = np.array([clip.points[member].frames[index] for member in members], float)
        keypoints = Keypoints(
            # A pixel's centre is a whole number, its corner half a pixel further out.
            xy_px=np.clip((labels + 0.5) * self._scale - 0.5, 0, size - 1),
            query_index=np.array([queries.index(clip.points[member].query) for member in members]),
            cluster_index=np.arange(len(members)),
        )
        self._tracker = tracker
        self._monitor = TrackHealthMonitor(health, frame.width_px, frame.height_px, keypoints.query_index)
        self._templates = FirstTemplates(frame, keypoints.xy_px)
        self._take(frame, tracker.start(frame, keypoints))

    def update(self, frame: CameraFrame) -> None:
        self._take(frame, self._tracker.update(frame))

    def _take(self, frame: CameraFrame, tracks: PointTracks) -> None:
        # As the pipeline does it: what a tracker does not say of itself is measured.
        if tracks.first_similarity is None:
            similarity = self._templates.similarity(frame, tracks.xy_px)
            tracks = dataclasses.replace(tracks, first_similarity=similarity)
        self._tracks, self.health = tracks, self._monitor.update(tracks)

    @property
    def xy_px(self) -> Float[np.ndarray, "n 2"]:
        """In px of the labels."""
        at: np.ndarray = (self._tracks.xy_px + 0.5) / self._scale - 0.5
        return at


def _row(groups: list[_Group], num_points: int) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, "n"]]:
    xy = np.full((num_points, 2), np.nan)
    health = np.full(num_points, NOT_STARTED)
    for group in groups:
        xy[group.members] = group.xy_px
        # A point that health calls tracked may still be invisible in this very frame; it then must not be used.
        health[group.members] = group.health
    return xy, health


def _resized(frames: Iterator[CameraFrame], size_px: tuple[int, int] | None) -> Iterator[CameraFrame]:
    for frame in frames:
        if size_px is None or size_px == (frame.width_px, frame.height_px):
            yield frame
            continue
        rgb = cv2.resize(frame.rgb, size_px, interpolation=cv2.INTER_AREA)
        yield CameraFrame(frame.stamp_ns, frame.frame_id, rgb, frame.intrinsics)


def called_tracked(health: Int[np.ndarray, "..."]) -> np.ndarray:
    """Return where health says that a point may be used."""
    tracked: np.ndarray = health == TrackHealth.TRACKED
    return tracked
