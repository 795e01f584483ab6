"""What every tracker is: started once on keypoints, then one answer per frame (paper, III-B)."""

from __future__ import annotations

from typing import Protocol

from glue_perception.types import CameraFrame, Keypoints, PointTracks


class PointTracker(Protocol):
    """Follows points from frame to frame. One thread; `start` resets all that an earlier episode left."""

    def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
        """Begin an episode with `keypoints` in `frame`."""
        ...

    def update(self, frame: CameraFrame) -> PointTracks:
        """Return where the points are in `frame`.

        Raises:
            NotReadyError: `start` was not called.
        """
        ...
