"""Pyramidal Lucas-Kanade flow of single points, and where an image has texture enough for it."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_CRITERIA = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 20, 0.02)


class PyramidalFlow:
    """Flow between two grey images of one size, worked out only on the part that the points can reach.

    Args:
        width_px: Of the images.
        height_px: Of the images.
        window_px: Side of the window that is followed.
    """

    def __init__(self, width_px: int, height_px: int, window_px: int) -> None:
        self._width_px, self._height_px = width_px, height_px
        self._window = (window_px, window_px)

    def track(
        self,
        source: UInt8[np.ndarray, "height width"],
        target: UInt8[np.ndarray, "height width"],
        xy_px: Float[np.ndarray, "n 2"],
        guess_px: Float[np.ndarray, "n 2"],
        levels: int,
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
        """Return where points of `source` are in `target` and the mean grey-level difference of their windows.

        A point whose flow is not found stays where it was, with an infinite difference.

        Args:
            source: Image that holds the points.
            target: Image in which they are looked for.
            xy_px: The points in `source`.
            guess_px: Where to begin in `target`.
            levels: Pyramid levels above the image.
        """
        part, origin = self._part_around(np.concatenate([xy_px, guess_px]), levels)
        found, status, residual = cv2.calcOpticalFlowPyrLK(
            np.ascontiguousarray(source[part]),
            np.ascontiguousarray(target[part]),
            _contiguous(xy_px - origin),
            _contiguous(guess_px - origin),
            winSize=self._window,
            maxLevel=levels,
            criteria=_CRITERIA,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        ok = (status.ravel() == 1) & np.isfinite(found).all(axis=(1, 2))
        residual = np.where(ok, residual.ravel(), np.inf)
        return np.where(ok[:, None], found[:, 0] + origin, xy_px).astype(np.float64), residual

    def _part_around(
        self, xy_px: Float[np.ndarray, "n 2"], levels: int
    ) -> tuple[tuple[slice, slice], Float[np.ndarray, "2"]]:
        """Return the part of the image that flow can reach from some points: most of the time goes into pyramids."""
        # One and a half windows on the coarsest level; corners on multiples of 16 keep the pyramid's samples.
        margin = 1.5 * self._window[0] * 2**levels
        size = np.array([self._width_px, self._height_px])
        low = (np.clip(xy_px.min(axis=0) - margin, 0, size - 32) // 16 * 16).astype(int)
        high = np.clip(np.ceil(xy_px.max(axis=0) + margin), np.minimum(low + 32, size), size).astype(int)
        low = np.maximum(low, 0)
        return (slice(low[1], high[1]), slice(low[0], high[0])), low.astype(float)


def window_texture(
    gray: UInt8[np.ndarray, "height width"], xy_px: Float[np.ndarray, "n 2"], side_px: int
) -> Float[np.ndarray, "n"]:
    """Return the root of the structure tensor's smaller eigenvalue in the window around each point (Shi, Tomasi)."""
    image = gray.astype(np.float32)
    gx, gy = cv2.Scharr(image, cv2.CV_32F, 1, 0) / 32.0, cv2.Scharr(image, cv2.CV_32F, 0, 1) / 32.0
    xx, xy, yy = (cv2.blur(product, (side_px, side_px)) for product in (gx * gx, gx * gy, gy * gy))
    smaller = (xx + yy) / 2.0 - np.sqrt(((xx - yy) / 2.0) ** 2 + xy**2)
    col, row = np.clip(np.rint(xy_px), 0, [gray.shape[1] - 1, gray.shape[0] - 1]).astype(int).T
    texture: np.ndarray = np.sqrt(np.maximum(smaller, 0.0))[row, col]
    return texture


def _contiguous(xy_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 1 2"]:
    """Return a fresh array in OpenCV's layout; it writes the result over its initial guess."""
    fresh: np.ndarray = np.array(xy_px[:, None], dtype=np.float32, order="C")
    return fresh
