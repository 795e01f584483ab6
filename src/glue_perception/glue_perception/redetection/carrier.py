"""Brings points from the frame in which they were found to the present one, frame by frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.trackers.object_motion import fit_motion
from glue_perception.trackers.optical_flow import PyramidalFlow
from glue_perception.trackers.patch_template import PatchSampler
from glue_perception.types import CameraFrame

_WINDOW_PX = 21
_LEVELS = 3
_MAX_ROUND_TRIP_PX = 1.0
_MIN_SIMILARITY = 0.55
_MAX_DEVIATION_PX = 4.0
"""At 480 rows; they grow with the image."""


def gray_of(frame: CameraFrame) -> UInt8[np.ndarray, "height width"]:
    """Return a frame as the carrier wants it."""
    gray: np.ndarray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
    return gray


class PointCarrier:
    """Follows the points of one search by optical flow until they are handed to the tracker.

    Each step is a function of two neighbouring frames, so where the points arrive does not depend on when the search
    was done or which thread took the step. A point that flow loses is put where its object's other points went.

    Args:
        frame: In which the points were found.
        xy_px: The points.
        object_index: Which object each belongs to.
    """

    def __init__(
        self, frame: CameraFrame, xy_px: Float[np.ndarray, "n 2"], object_index: Int[np.ndarray, "n"]
    ) -> None:
        self._scale = min(frame.rgb.shape[:2]) / 480.0
        side = max(5, round(_WINDOW_PX * self._scale) | 1)
        self._flow = PyramidalFlow(frame.width_px, frame.height_px, side)
        self._sampler = PatchSampler(max(1.0, self._scale))
        self._patches = self._sampler.sample(frame.rgb, xy_px)
        self._gray = gray_of(frame)
        self._xy = xy_px.copy()
        self._alive = np.ones(len(xy_px), bool)
        self._objects = [np.flatnonzero(object_index == k) for k in np.unique(object_index)]

    def advance(self, gray: UInt8[np.ndarray, "height width"]) -> None:
        """Take the next frame, as `gray_of` gives it."""
        if len(self._xy):
            there, _ = self._flow.track(self._gray, gray, self._xy, self._xy, _LEVELS)
            back, residual = self._flow.track(gray, self._gray, there, there, _LEVELS)
            error = np.linalg.norm(back - self._xy, axis=1)
            seen = np.isfinite(residual) & (error <= _MAX_ROUND_TRIP_PX * max(1.0, self._scale))
            self._xy = self._with_its_object(np.where(seen[:, None], there, self._xy), seen & self._alive)
            self._alive &= seen
        self._gray = gray

    def arrived(self, frame: CameraFrame) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, "n"]]:
        """Return where the points are in `frame`, the last one taken, and which look there as they did when found."""
        size = np.array([frame.width_px, frame.height_px])
        inside = np.all((self._xy >= 0.0) & (self._xy <= size - 1.0), axis=1)
        places = np.clip(self._xy, 0.0, size - 1.0)
        alike = self._sampler.similarity(self._sampler.sample(frame.rgb, places), self._patches)
        return places, inside & (alike >= _MIN_SIMILARITY)

    def _with_its_object(
        self, xy_px: Float[np.ndarray, "n 2"], seen: Bool[np.ndarray, "n"]
    ) -> Float[np.ndarray, "n 2"]:
        result = xy_px.copy()
        for members in self._objects:
            witnesses, others = members[seen[members]], members[~seen[members]]
            if len(witnesses) and len(others):
                tolerance = _MAX_DEVIATION_PX * max(1.0, self._scale)
                motion = fit_motion(self._xy[witnesses], xy_px[witnesses], tolerance)
                result[others] = motion.apply(self._xy[others])
        return result
