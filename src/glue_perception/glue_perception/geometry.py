"""Rigid transforms, rotations and projection on plain numpy arrays. Quaternions are xyzw."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from glue_perception.types import GRID_SIZE


def rotation_6d_from_matrix(rotation: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 6"]:
    """Return the first two columns of each rotation matrix, one after the other."""
    return np.concatenate([rotation[..., :, 0], rotation[..., :, 1]], axis=-1)


def matrix_from_rotation_6d(rotation_6d: Float[np.ndarray, "*batch 6"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Return rotation matrices from two column vectors by Gram-Schmidt (Zhou et al. 2019).

    The columns need not be normalised; nearly parallel ones, which `ActionChunk` refuses, give no rotation.
    """
    if rotation_6d.ndim == 1:
        return _matrix_from_two_columns(rotation_6d)
    first, second = rotation_6d[..., :3], rotation_6d[..., 3:]
    x = first / np.linalg.norm(first, axis=-1, keepdims=True)
    y = second - np.sum(x * second, axis=-1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _matrix_from_two_columns(rotation_6d: Float[np.ndarray, "6"]) -> Float[np.ndarray, "3 3"]:
    """Return the same bits for one rotation as for it in a batch, ten times as fast: the control loop needs many."""
    a, b, c, d, e, f = rotation_6d.astype(np.float64).tolist()
    length = math.sqrt(a * a + b * b + c * c)
    if length == 0.0:
        return np.full((3, 3), np.nan)
    a, b, c = a / length, b / length, c / length
    along = a * d + b * e + c * f
    d, e, f = d - along * a, e - along * b, f - along * c
    length = math.sqrt(d * d + e * e + f * f)
    if length == 0.0:
        return np.full((3, 3), np.nan)
    d, e, f = d / length, e / length, f / length
    return np.array([[a, d, b * f - c * e], [b, e, c * d - a * f], [c, f, a * e - b * d]])


def matrix_from_quaternion(xyzw: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Return rotation matrices of quaternions (xyzw), which need not be normalised."""
    if xyzw.ndim == 1:
        return _matrix_from_one_quaternion(xyzw)
    x, y, z, w = np.moveaxis(xyzw / np.linalg.norm(xyzw, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _matrix_from_one_quaternion(xyzw: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3 3"]:
    """Return the same bits for one quaternion as for it in a batch, ten times as fast."""
    x, y, z, w = xyzw.astype(np.float64).tolist()
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if length == 0.0:
        return np.full((3, 3), np.nan)
    x, y, z, w = x / length, y / length, z / length, w / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_matrix(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """Return the unit quaternion (xyzw, w >= 0) of one rotation matrix."""
    (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = rotation.tolist()
    # The eigenvector of Bar-Itzhack's matrix is stable for every rotation angle.
    k = (
        np.array(
            [
                [m00 - m11 - m22, 0, 0, 0],
                [m01 + m10, m11 - m00 - m22, 0, 0],
                [m02 + m20, m12 + m21, m22 - m00 - m11, 0],
                [m21 - m12, m02 - m20, m10 - m01, m00 + m11 + m22],
            ]
        )
        / 3.0
    )
    _, vectors = np.linalg.eigh(k)
    xyzw = vectors[:, -1]
    return xyzw if xyzw[3] >= 0 else -xyzw


def rotation_vector(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Return axis times angle [rad] of one rotation matrix, angle 0..pi."""
    xyzw = quaternion_from_matrix(rotation)
    vector, w = xyzw[:3].copy(), xyzw[3]
    sine = np.sqrt(vector.dot(vector))
    if sine < 1e-12:
        return 2.0 * vector
    scaled: np.ndarray = vector * (2.0 * np.arctan2(sine, w) / sine)
    return scaled


def matrix_from_rotation_vector(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation about `vector` by its length [rad]."""
    angle = np.linalg.norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    xyzw = np.empty(4)
    xyzw[:3] = vector / angle * np.sin(angle / 2)
    xyzw[3] = np.cos(angle / 2)
    return _matrix_from_one_quaternion(xyzw)


def make_transform(
    rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    """Return the homogeneous matrix of a rotation and a translation."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def invert_transform(T_a_b: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Return T_b_a."""
    R = T_a_b[:3, :3].T
    return make_transform(R, -R @ T_a_b[:3, 3])


def project_points(
    points_m: Float[np.ndarray, "n 3"],
    T_base_camera: Float[np.ndarray, "4 4"],
    intrinsics: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, "n 2"]:
    """Return pixel positions of points given in the base frame.

    The camera frame is optical (x right, y down, z forward). Points behind the camera give NaN.
    """
    T = invert_transform(T_base_camera)
    camera = points_m @ T[:3, :3].T + T[:3, 3]
    depth = camera[:, 2:3]
    safe = np.where(depth > 1e-6, depth, np.nan)
    pixels: np.ndarray = ((camera / safe) @ intrinsics.T)[:, :2]
    return pixels


def grid_cells(
    xy_px: Float[np.ndarray, "n 2"], width_px: int, height_px: int, grid_size: int = GRID_SIZE
) -> Int[np.ndarray, "n 2"]:
    """Return (row, col) of the grid cell that contains each point, clamped to the image (paper, III-C 2)."""
    cols = np.floor((xy_px[:, 0] + 0.5) * grid_size / width_px)
    rows = np.floor((xy_px[:, 1] + 0.5) * grid_size / height_px)
    cells: np.ndarray = np.clip(np.stack([rows, cols], axis=1), 0, grid_size - 1).astype(np.int64)
    return cells
