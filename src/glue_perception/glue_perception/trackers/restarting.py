"""New places for some points of a tracker that can only be started with all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from glue_perception.errors import NotReadyError
from glue_perception.trackers.base import PointTracker
from glue_perception.types import CameraFrame, Keypoints, PointTracks


class RestartingTracker:
    """Gives any tracker the method `replace`: it starts again in the present frame with all points.

    What the tracker remembered of the points that stay is lost, so from then on its `first_similarity` says nothing
    of the episode's first frame and is left out; whoever needs it compares for himself.

    One thread.
    """

    def __init__(self, tracker: PointTracker) -> None:
        self._tracker = tracker
        self._keypoints: Keypoints | None = None
        self._last_xy_px: Float[np.ndarray, "n 2"] = np.zeros((0, 2))
        self._restarted = False

    def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
        """Begin an episode; see `PointTracker`."""
        self._keypoints, self._restarted = None, False
        tracks = self._tracker.start(frame, keypoints)
        self._keypoints, self._last_xy_px = keypoints, tracks.xy_px
        return tracks

    def update(self, frame: CameraFrame) -> PointTracks:
        """Return where the points are in `frame`; see `PointTracker`."""
        tracks = self._tracker.update(frame)
        self._last_xy_px = tracks.xy_px
        return replace(tracks, first_similarity=None) if self._restarted else tracks

    def replace(
        self, frame: CameraFrame, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> None:
        """Start again: the points `index` at `xy_px`, all others where they were last. See `ReplacingTracker`."""
        if self._keypoints is None:
            raise NotReadyError("the tracker has no keypoints yet; call start with the episode's first frame")
        # A point that has left the image cannot be started; it waits at the rim.
        places = np.clip(self._last_xy_px, 0.0, [frame.width_px - 1.0, frame.height_px - 1.0])
        places[index] = xy_px
        keypoints = replace(self._keypoints, xy_px=places)
        self._tracker.start(frame, keypoints)
        self._keypoints, self._last_xy_px, self._restarted = keypoints, places, True
