"""The common motion of one object's points between two frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_ITERATIONS = 5
_MIN_POINTS_FOR_ROTATION = 4
_MAX_SCALE_CHANGE = 0.15
"""Between two frames; more is a wrong fit."""


@dataclass(frozen=True, eq=False)
class ObjectMotion:
    """A similarity transform of the image plane: xy -> linear @ xy + shift_px."""

    linear: Float[np.ndarray, "2 2"]
    shift_px: Float[np.ndarray, "2"]

    def apply(self, xy_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Return the moved points."""
        moved: np.ndarray = xy_px @ self.linear.T + self.shift_px
        return moved


NO_MOTION = ObjectMotion(np.eye(2), np.zeros(2))


def fit_motion(
    before_px: Float[np.ndarray, "n 2"], after_px: Float[np.ndarray, "n 2"], tolerance_px: float
) -> ObjectMotion:
    """Return the motion that most points agree on.

    It starts at the median displacement, which half of the points may spoil, and is refined by weighted least
    squares with weights that fall to zero for outliers. No random sampling: the same points give the same answer.

    Args:
        before_px: Points in the earlier frame, at least one.
        after_px: The same points in the later frame.
        tolerance_px: Residual that still counts as agreement.
    """
    translation = np.median(after_px - before_px, axis=0)
    motion = ObjectMotion(np.eye(2), translation)
    if len(before_px) < _MIN_POINTS_FOR_ROTATION:
        return motion
    for _ in range(_ITERATIONS):
        residual = np.linalg.norm(after_px - motion.apply(before_px), axis=1)
        weight = np.clip(1.0 - (residual / (2.0 * tolerance_px)) ** 2, 0.0, 1.0) ** 2
        if np.count_nonzero(weight) < _MIN_POINTS_FOR_ROTATION:
            return ObjectMotion(np.eye(2), translation)
        fitted = _weighted_similarity(before_px, after_px, weight / weight.sum())
        if fitted is None:
            return ObjectMotion(np.eye(2), translation)
        motion = fitted
    return motion


def _weighted_similarity(
    before_px: Float[np.ndarray, "n 2"], after_px: Float[np.ndarray, "n 2"], weight: Float[np.ndarray, "n"]
) -> ObjectMotion | None:
    """Return the least-squares similarity, or None where the points are too close together to tell."""
    mean_before, mean_after = weight @ before_px, weight @ after_px
    p, q = before_px - mean_before, after_px - mean_after
    spread = float(weight @ np.sum(p * p, axis=1))
    if spread < 4.0:
        return None
    cosine = float(weight @ np.sum(p * q, axis=1)) / spread
    sine = float(weight @ (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])) / spread
    if abs(np.hypot(cosine, sine) - 1.0) > _MAX_SCALE_CHANGE:
        return None
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return ObjectMotion(linear, mean_after - linear @ mean_before)
