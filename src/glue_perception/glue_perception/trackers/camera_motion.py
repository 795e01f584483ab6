"""How a camera that should stand still has moved since the episode's first frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from glue_perception.trackers.object_motion import NO_MOTION, ObjectMotion, fit_motion

_MAX_FEATURES = 64
_ROWS = 270
"""Images are brought to about this height first: sub-pixel accuracy is kept and time is halved."""
_WINDOW = (15, 15)
_EVERY_FRAMES = 3
"""A tripod does not shake: at 30 Hz ten looks a second are enough, and cost a millisecond each."""
_MAX_STEP_PX = 1.5
_MAX_RESIDUAL = 12.0
_AGREEMENT_PX = 0.5
_MIN_FEATURES = 8
_SMOOTHING = 0.6
_CRITERIA = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 20, 0.02)


class CameraMotion:
    """Registers every frame with the first by the corners of the static scene.

    A tripod sags, a table is leaned on: the paper's own clips drift by up to 7 px. What rests in the scene is
    where it was, moved along with this drift. Corners on things that move, or that are covered, disagree with the
    last estimate by more than a step and do not count; with too few left the last estimate stays.

    One thread. Deterministic.

    Args:
        gray: The first frame.
    """

    def __init__(self, gray: UInt8[np.ndarray, "height width"]) -> None:
        # A whole number of pixels each way: OpenCV averages those several times faster than fractions.
        self._factor = max(1, round(gray.shape[0] / _ROWS))
        self._first = self._shrunk(gray)
        spacing = max(6, self._first.shape[0] // 18)
        corners = cv2.goodFeaturesToTrack(self._first, _MAX_FEATURES, 0.005, spacing)
        self._corners = np.zeros((0, 2)) if corners is None else corners[:, 0].astype(np.float64)
        self._motion = NO_MOTION
        self._frames = 0

    def update(self, gray: UInt8[np.ndarray, "height width"]) -> None:
        """Take in one frame of the same size."""
        self._frames += 1
        if len(self._corners) < _MIN_FEATURES or self._frames % _EVERY_FRAMES:
            return
        guess = self._motion.apply(self._corners)
        found, status, residual = cv2.calcOpticalFlowPyrLK(
            self._first,
            self._shrunk(gray),
            np.ascontiguousarray(self._corners[:, None], np.float32),
            np.array(guess[:, None], np.float32, order="C"),
            winSize=_WINDOW,
            maxLevel=1,
            criteria=_CRITERIA,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        place = found[:, 0].astype(np.float64)
        near = np.linalg.norm(place - guess, axis=1) <= _MAX_STEP_PX
        ok = (status.ravel() == 1) & (residual.ravel() <= _MAX_RESIDUAL) & near
        if np.count_nonzero(ok) < _MIN_FEATURES:
            return
        fitted = fit_motion(self._corners[ok], place[ok], _AGREEMENT_PX)
        self._motion = ObjectMotion(
            (1 - _SMOOTHING) * self._motion.linear + _SMOOTHING * fitted.linear,
            (1 - _SMOOTHING) * self._motion.shift_px + _SMOOTHING * fitted.shift_px,
        )

    def from_first(self, xy_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Return where static points of the first frame are now."""
        small = (xy_px + 0.5) / self._factor - 0.5
        now: np.ndarray = (self._motion.apply(small) + 0.5) * self._factor - 0.5
        return now

    def to_first(self, xy_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Return where static points of this frame were in the first."""
        small = (xy_px + 0.5) / self._factor - 0.5 - self._motion.shift_px
        first: np.ndarray = (small @ np.linalg.inv(self._motion.linear).T + 0.5) * self._factor - 0.5
        return first

    def _shrunk(self, gray: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "rows cols"]:
        if self._factor == 1:
            return gray
        rows, cols = (side // self._factor for side in gray.shape)
        whole = gray[: rows * self._factor, : cols * self._factor]
        small: np.ndarray = cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA)
        return small
