from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.types import CameraFrame
from glue_policy.data.point_cloud import (
    PointCloudConfig,
    Sampling,
    deproject,
    farthest_points,
    frame_points,
    workspace_points,
)

K = np.array([[60.0, 0.0, 31.5], [0.0, 50.0, 23.5], [0.0, 0.0, 1.0]])
T_BASE_CAMERA = np.eye(4)
T_BASE_CAMERA[:3, :3] = np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]])  # looks straight down
T_BASE_CAMERA[:3, 3] = [0.5, 0.0, 1.0]
CONFIG = PointCloudConfig(num_points=64, candidates=256)


def project(points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [n 2] and depths [n] of points in the base frame."""
    in_camera = (points_m - T_BASE_CAMERA[:3, 3]) @ T_BASE_CAMERA[:3, :3]
    pixels = in_camera @ K.T
    return pixels[:, :2] / pixels[:, 2:], in_camera[:, 2]


def table(height_m: float = 0.02) -> np.ndarray:
    """Depth of a plane at some height above the base."""
    return np.full((48, 64), 1.0 - height_m, dtype=np.float32)


def test_every_pixel_comes_from_its_point() -> None:
    depth_m = np.random.default_rng(0).uniform(0.3, 1.2, (48, 64)).astype(np.float32)
    xy_px, z_m = project(deproject(depth_m, K, T_BASE_CAMERA).astype(np.float64))
    col, row = np.meshgrid(np.arange(64), np.arange(48))
    np.testing.assert_allclose(xy_px, np.stack([col.ravel(), row.ravel()], axis=1), atol=1e-4)
    np.testing.assert_allclose(z_m, depth_m.ravel(), atol=1e-6)


def test_unknown_depth_gives_no_point() -> None:
    depth_m = table()
    depth_m[:4], depth_m[4:8], depth_m[8:12] = 0.0, np.nan, np.inf
    assert len(deproject(depth_m, K, T_BASE_CAMERA)) == 36 * 64


@pytest.mark.parametrize("sampling", Sampling)
def test_points_lie_in_the_box_and_on_the_surface(sampling: Sampling) -> None:
    config = PointCloudConfig(64, (0.3, -0.2, 0.0), (0.7, 0.2, 0.5), sampling=sampling, candidates=256)
    points = workspace_points(table(), K, T_BASE_CAMERA, config)
    assert points.shape == (64, 3)
    assert points.dtype == np.float32
    assert np.all((points >= [0.3, -0.2, 0.0]) & (points <= [0.7, 0.2, 0.5]))
    np.testing.assert_allclose(points[:, 2], 0.02, atol=1e-6)
    assert len(np.unique(points, axis=0)) == 64
    assert np.array_equal(points, workspace_points(table(), K, T_BASE_CAMERA, config))


def test_what_lies_outside_the_box_changes_nothing() -> None:
    depth_m = table()
    depth_m[:, :8] = 5.0
    moved = depth_m.copy()
    moved[:, :8] = 7.0
    assert np.array_equal(
        workspace_points(depth_m, K, T_BASE_CAMERA, CONFIG), workspace_points(moved, K, T_BASE_CAMERA, CONFIG)
    )


def test_few_points_are_repeated_in_turn() -> None:
    depth_m = np.zeros((48, 64), dtype=np.float32)
    depth_m[24, 30:33] = 0.9
    points = workspace_points(depth_m, K, T_BASE_CAMERA, CONFIG)
    unique, counts = np.unique(points, axis=0, return_counts=True)
    assert points.shape == (64, 3)
    assert len(unique) == 3
    assert counts.max() - counts.min() <= 1


def test_farthest_points_reach_a_small_far_group_that_chance_misses() -> None:
    rng = np.random.default_rng(0)
    crowd = rng.normal(0.0, 0.01, (2000, 3))
    points = np.concatenate([crowd, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]).astype(np.float32)
    chosen = farthest_points(points, 3)
    assert {tuple(p) for p in chosen[1:].tolist()} == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**31))
def test_each_farthest_point_is_farther_than_any_left(count: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(40, 3)).astype(np.float32)
    chosen = farthest_points(points, count)
    gaps = [np.linalg.norm(chosen[:k] - chosen[k], axis=1).min() for k in range(1, count)]
    assert all(a >= b - 1e-6 for a, b in pairwise(gaps))
    if gaps:
        rest = np.linalg.norm(points[:, None] - chosen[None, :-1], axis=2).min(axis=1).max()
        assert gaps[-1] == pytest.approx(rest, rel=1e-5)


def test_missing_depth_or_pose_says_what_to_do() -> None:
    frame = CameraFrame(7, "camera", np.zeros((48, 64, 3), np.uint8), K)
    with pytest.raises(InvalidValueError, match="needs depth, but the frame of 7 ns from camera has none"):
        frame_points(frame, T_BASE_CAMERA, CONFIG)
    with_depth = CameraFrame(7, "camera", np.zeros((48, 64, 3), np.uint8), K, table())
    with pytest.raises(InvalidValueError, match="T_base_camera"):
        frame_points(with_depth, None, CONFIG)
    assert frame_points(with_depth, T_BASE_CAMERA, CONFIG).shape == (64, 3)


def test_an_empty_box_is_an_error_with_a_hint() -> None:
    with pytest.raises(InvalidValueError, match="is T_base_camera right, and the depth in metres"):
        workspace_points(table() * 1000.0, K, T_BASE_CAMERA, CONFIG)
    with pytest.raises(InvalidValueError, match="rigid"):
        workspace_points(table(), K, 2.0 * T_BASE_CAMERA, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_points": 0}, "0"),
        ({"candidates": 10}, "num_points"),
        ({"low_m": (0.9, 0.0, 0.0)}, "0.9"),
    ],
)
def test_impossible_settings_name_the_value(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PointCloudConfig(**change)
