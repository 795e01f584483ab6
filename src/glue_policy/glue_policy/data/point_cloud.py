"""The one way from a depth image to the points that DP3 sees, in training and at run time alike. Numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.types import CameraFrame


class Sampling(StrEnum):
    """How points are chosen: `farthest` spreads them evenly (3D Diffusion Policy), `random` is seeded and fast."""

    FARTHEST = "farthest"
    RANDOM = "random"


@dataclass(frozen=True)
class PointCloudConfig:
    """How depth becomes points.

    Attributes:
        num_points: Points of a cloud; 512 or 1024 in 3D Diffusion Policy.
        low_m: Lower corner of the box that is kept, base frame.
        high_m: Upper corner. The default box is the table in front of the arm, without what lies behind it; its floor
            is just above the table's top, so that points are not spent on the table.
        sampling: See `Sampling`.
        candidates: Farthest points are chosen among this many random ones: all pixels take too long.

    Raises:
        ConfigError: an impossible value; the message gives it.
    """

    num_points: int = 512
    low_m: tuple[float, float, float] = (0.15, -0.5, 0.005)
    high_m: tuple[float, float, float] = (0.85, 0.5, 0.7)
    sampling: Sampling = Sampling.FARTHEST
    candidates: int = 4096

    def __post_init__(self) -> None:
        if self.num_points < 1:
            raise ConfigError(f"num_points must be at least 1, not {self.num_points}")
        if self.candidates < self.num_points:
            raise ConfigError(
                f"candidates must be at least num_points ({self.num_points}), not {self.candidates}"
            )
        if not all(low < high for low, high in zip(self.low_m, self.high_m, strict=True)):
            raise ConfigError(f"low_m must be below high_m in every axis, not {self.low_m} and {self.high_m}")


def workspace_points(
    depth_m: Float[np.ndarray, "height width"],
    intrinsics: Float[np.ndarray, "3 3"],
    T_base_camera: Float[np.ndarray, "4 4"],
    config: PointCloudConfig,
) -> Float[np.ndarray, "p 3"]:
    """Return the points of a depth image that lie in the box, as many as configured.

    The choice among them is random with a fixed seed, so equal images give equal clouds. Where there are too few,
    they are repeated in turn.

    Args:
        depth_m: Distance along the optical axis in metres; 0 or not finite where unknown.
        intrinsics: Pinhole matrix K in px.
        T_base_camera: Pose of the camera's optical frame (x right, y down, z forward) in the base frame.
        config: Box and number of points.

    Returns:
        Points in metres, base frame, float32.

    Raises:
        InvalidValueError: T_base_camera is no rigid transform, or nothing lies in the box.
    """
    points = in_box(deproject(depth_m, intrinsics, T_base_camera), config)
    if not len(points):
        raise InvalidValueError(
            f"no point of the depth image lies in the box from {config.low_m} to {config.high_m} m (base frame); "
            "is T_base_camera right, and the depth in metres?"
        )
    rng = np.random.default_rng(0)
    if len(points) <= config.num_points:
        return np.resize(points, (config.num_points, 3))
    if config.sampling is Sampling.RANDOM:
        return points[rng.choice(len(points), config.num_points, replace=False)]
    if len(points) > config.candidates:
        points = points[rng.choice(len(points), config.candidates, replace=False)]
    return farthest_points(points, config.num_points)


def frame_points(
    frame: CameraFrame, T_base_camera: Float[np.ndarray, "4 4"] | None, config: PointCloudConfig
) -> Float[np.ndarray, "p 3"]:
    """Return the points of a camera frame.

    Raises:
        InvalidValueError: the frame has no depth, the camera's pose is unknown, or see `workspace_points`.
    """
    if frame.depth_m is None:
        raise InvalidValueError(
            f"policy dp3 needs depth, but the frame of {frame.stamp_ns} ns from {frame.frame_id} has none; use a "
            "camera with depth and switch it on, or another policy"
        )
    if T_base_camera is None:
        raise InvalidValueError(
            "policy dp3 needs the camera's pose in the base frame; calibrate it and give T_base_camera"
        )
    return workspace_points(frame.depth_m, frame.intrinsics, T_base_camera, config)


def deproject(
    depth_m: Float[np.ndarray, "height width"],
    intrinsics: Float[np.ndarray, "3 3"],
    T_base_camera: Float[np.ndarray, "4 4"],
) -> Float[np.ndarray, "n 3"]:
    """Return the points of all pixels with known depth in the base frame, row by row."""
    rotation, translation = T_base_camera[:3, :3], T_base_camera[:3, 3]
    if T_base_camera.shape != (4, 4) or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4:
        raise InvalidValueError(
            f"T_base_camera must be a rigid 4 x 4 transform, not {T_base_camera.tolist()}"
        )
    # One matrix from pixels to directions in the base frame, and one coordinate at a time: ten times faster than a
    # product of matrices of three columns.
    directions = rotation @ np.linalg.inv(intrinsics)
    row, col = np.arange(depth_m.shape[0])[:, None], np.arange(depth_m.shape[1])[None]
    points = np.empty((*depth_m.shape, 3), np.float32)
    known = np.isfinite(depth_m) & (depth_m > 0.0)
    distance_m = np.where(known, depth_m, 0.0).astype(np.float32)
    for axis in range(3):
        along_row = (directions[axis, 0] * col).astype(np.float32)
        down = (directions[axis, 1] * row + directions[axis, 2]).astype(np.float32)
        points[..., axis] = distance_m * (along_row + down) + np.float32(translation[axis])
    found: np.ndarray = points[known]
    return found


def in_box(points: Float[np.ndarray, "n 3"], config: PointCloudConfig) -> Float[np.ndarray, "m 3"]:
    """Return the points inside the box, borders included."""
    inside = np.ones(len(points), dtype=bool)
    for axis in range(3):
        inside &= (points[:, axis] >= config.low_m[axis]) & (points[:, axis] <= config.high_m[axis])
    return points[inside]


def farthest_points(points: Float[np.ndarray, "n 3"], count: int) -> Float[np.ndarray, "count 3"]:
    """Return points of which each is the farthest from all before it; the first is the first one given."""
    chosen = np.zeros(count, dtype=np.int64)
    squared_m2 = np.full(len(points), np.inf, dtype=np.float32)
    for k in range(1, count):
        squared_m2 = np.minimum(squared_m2, np.square(points - points[chosen[k - 1]]).sum(axis=1))
        chosen[k] = int(squared_m2.argmax())
    return points[chosen]
