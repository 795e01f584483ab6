"""The yardstick: OpenCV's pyramidal Lucas-Kanade as it comes. For comparison only; it must not drive a robot.

It calls every point visible for ever, also below the arm.
"""

from __future__ import annotations

import cv2
import numpy as np

from glue_perception.errors import NotReadyError
from glue_perception.types import CameraFrame, Keypoints, PointTracks


class PlainLucasKanade:
    """Frame-to-frame flow with a 21 px window and 3 pyramid levels, nothing else. One thread."""

    def __init__(self) -> None:
        self._gray: np.ndarray | None = None
        self._xy = np.zeros((0, 2))

    def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
        """Begin an episode with `keypoints` in `frame`."""
        self._gray, self._xy = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), keypoints.xy_px.copy()
        return self._answer(frame)

    def update(self, frame: CameraFrame) -> PointTracks:
        """Return where flow takes the points.

        Raises:
            NotReadyError: `start` was not called.
        """
        if self._gray is None:
            raise NotReadyError("the tracker has no keypoints yet; call start with the episode's first frame")
        gray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        points = np.ascontiguousarray(self._xy[:, None], np.float32)
        moved, _, _ = cv2.calcOpticalFlowPyrLK(self._gray, gray, points, None, winSize=(21, 21), maxLevel=3)
        self._gray, self._xy = gray, moved[:, 0].astype(np.float64)
        return self._answer(frame)

    def _answer(self, frame: CameraFrame) -> PointTracks:
        n = len(self._xy)
        sure = np.ones(n)
        return PointTracks(frame.stamp_ns, self._xy, np.ones(n, bool), sure, first_similarity=sure)
