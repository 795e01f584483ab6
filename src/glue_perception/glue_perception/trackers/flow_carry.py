"""Carries points from frame to frame by optical flow, and says which of them it can answer for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, UInt8

from glue_perception.trackers.optical_flow import PyramidalFlow

REFERENCE_ROWS = 480
"""Pixel limits hold at this many rows and grow with the image."""

_WINDOW_PX = 21.0
_LEVELS = 3
"""Window and pyramid as in the Lucas-Kanade tracker: some 40 px of motion between two frames at 480 rows."""

Gray = UInt8[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Carried:
    """Where flow took some points.

    Attributes:
        xy_px: The new place; where flow failed, the last good one.
        held: Whether every step was confirmed by tracking back.
        drift_px: Sum over the steps of the distance between a point and itself tracked forward and back.
    """

    xy_px: Float[np.ndarray, "n 2"]
    held: Bool[np.ndarray, "n"]
    drift_px: Float[np.ndarray, "n"]


class FlowCarry:
    """Pyramidal Lucas-Kanade of single points, checked by tracking back. One thread; keeps no state.

    Args:
        width_px: Of the images.
        height_px: Of the images.
        max_round_trip_px: Largest distance between a point and itself tracked forward and back, at 480 rows.
        max_residual: Largest mean grey-level difference between a window and where flow says it went.
    """

    def __init__(self, width_px: int, height_px: int, max_round_trip_px: float, max_residual: float) -> None:
        scale = min(width_px, height_px) / REFERENCE_ROWS
        # Flow is not good to hundredths of a px in a thumbnail either.
        self.scale = max(0.5, scale)
        self._size = np.array([width_px, height_px], float)
        self._flow = PyramidalFlow(width_px, height_px, max(5, round(_WINDOW_PX * scale) | 1))
        self._max_round_trip_px = max_round_trip_px * self.scale
        self._max_residual = max_residual

    def chain(self, images: Sequence[Gray], xy_px: Float[np.ndarray, "n 2"]) -> Carried:
        """Return where points of the first image are in the last one, followed through all between them."""
        xy, held, drift = xy_px.copy(), self.inside(xy_px), np.zeros(len(xy_px))
        for source, target in pairwise(images):
            which = np.flatnonzero(held)
            if not len(which):
                break
            moved, round_trip = self._step(source, target, xy[which])
            good = (round_trip <= self._max_round_trip_px) & self.inside(moved)
            held[which[~good]] = False
            xy[which[good]] = moved[good]
            drift[which[good]] += round_trip[good]
        return Carried(xy, held, drift)

    def inside(self, xy_px: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
        """Return which points lie in the image (the centre of its top-left pixel is 0, 0)."""
        inside: np.ndarray = np.all((xy_px >= -0.5) & (xy_px < self._size - 0.5), axis=1)
        return inside

    def _step(
        self, source: Gray, target: Gray, xy_px: Float[np.ndarray, "n 2"]
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
        moved, residual = self._flow.track(source, target, xy_px, xy_px, _LEVELS)
        back, residual_back = self._flow.track(target, source, moved, moved, _LEVELS)
        round_trip = np.linalg.norm(back - xy_px, axis=1)
        explained = (residual <= self._max_residual) & np.isfinite(residual_back)
        return moved, np.where(explained, round_trip, np.inf)
