"""What every tracker is: started once on keypoints, then one answer per frame (paper, III-B)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

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


@runtime_checkable
class ReplacingTracker(PointTracker, Protocol):
    """A tracker that can be given new places for some of its points without losing the others.

    The pipeline carries re-detected points from the frame in which they were found to the present one itself, so that
    a tracker needs no memory of frames: `frame` is always the one of the last `update`.
    """

    def replace(
        self, frame: CameraFrame, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> None:
        """From now on the points `index` are those at `xy_px` in `frame`; they look as they look there.

        Args:
            frame: The frame of the last `update`.
            index: Which points, as numbered by the keypoints of `start`.
            xy_px: Their new places, inside the image.

        Raises:
            NotReadyError: `start` was not called.
        """
        ...
