"""Value types refuse what must not travel and cannot be changed afterwards."""

import dataclasses

import numpy as np
import pytest

from glue_perception.errors import InvalidValueError
from glue_perception.types import (
    ActionChunk,
    CameraFrame,
    Detection,
    KeyPatches,
    Keypoints,
    Observation,
    PointTracks,
    RobotState,
    TrackHealth,
)

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def frame(stamp_ns: int = 5, **changes) -> CameraFrame:
    values = {
        "stamp_ns": stamp_ns,
        "frame_id": "camera",
        "rgb": np.zeros((48, 64, 3), np.uint8),
        "intrinsics": K,
    }
    return CameraFrame(**(values | changes))


def patches(stamp_ns: int = 5, **changes) -> KeyPatches:
    values = {
        "stamp_ns": stamp_ns,
        "row_col": np.array([[0, 0], [27, 27]]),
        "xy_px": np.array([[1.0, 1.0], [60.0, 40.0]]),
        "visible": np.array([True, False]),
        "health": np.array([TrackHealth.TRACKED, TrackHealth.LOST]),
        "query_index": np.array([0, 0]),
    }
    return KeyPatches(**(values | changes))


def state(**changes) -> RobotState:
    values = {
        "stamp_ns": 5,
        "joint_position_rad": np.zeros(7),
        "joint_velocity_rad_s": np.zeros(7),
        "T_base_ee": np.eye(4),
        "gripper_width_m": 0.04,
    }
    return RobotState(**(values | changes))


def chunk(**changes) -> ActionChunk:
    values = {
        "stamp_ns": 1_000,
        "dt_s": 0.1,
        "position_m": np.zeros((4, 3)),
        "rotation_6d": np.tile([1.0, 0, 0, 0, 1, 0], (4, 1)),
        "gripper_width_m": np.zeros(4),
    }
    return ActionChunk(**(values | changes))


@pytest.mark.parametrize(
    ("build", "changes", "says"),
    [
        (frame, {"rgb": np.zeros((48, 64), np.uint8)}, "shape"),
        (frame, {"rgb": np.zeros((48, 64, 4), np.uint8)}, "shape"),
        (frame, {"rgb": np.zeros((48, 64, 3), np.float32)}, "dtype"),
        (frame, {"rgb": np.zeros((0, 64, 3), np.uint8)}, "empty"),
        (frame, {"intrinsics": np.full((3, 3), np.nan)}, "NaN"),
        (frame, {"intrinsics": np.zeros((3, 3))}, "focal"),
        (frame, {"stamp_ns": -1}, "stamp_ns"),
        (frame, {"stamp_ns": 1.5}, "stamp_ns"),
        (frame, {"depth_m": np.zeros((47, 64), np.float32)}, "depth_m"),
        (patches, {"row_col": np.array([[0, 0], [28, 0]])}, "0..27"),
        (patches, {"row_col": np.array([[0.5, 0], [1, 0]])}, "dtype"),
        (patches, {"health": np.array([0, 3])}, "unknown"),
        (patches, {"visible": np.array([True, True])}, "not TRACKED"),
        (patches, {"visible": np.array([True])}, "shape"),
        (state, {"joint_position_rad": np.zeros(6)}, "shape"),
        (state, {"joint_velocity_rad_s": np.full(7, np.inf)}, "infinite"),
        (state, {"T_base_ee": np.diag([1.0, 1, -1, 1])}, "rotation"),
        (state, {"T_base_ee": 2 * np.eye(4)}, "rotation"),
        (state, {"gripper_width_m": float("nan")}, "gripper"),
        (chunk, {"position_m": np.full((4, 3), np.nan)}, "NaN"),
        (chunk, {"position_m": np.zeros((0, 3))}, "at least one"),
        (chunk, {"position_m": np.zeros((3, 3))}, "rotation_6d"),
        (chunk, {"rotation_6d": np.zeros((4, 6))}, "degenerate"),
        (chunk, {"dt_s": 0.0}, "dt_s"),
        (chunk, {"dt_s": float("nan")}, "dt_s"),
    ],
)
def test_refuses(build, changes, says) -> None:
    with pytest.raises(InvalidValueError, match=says):
        build(**changes)


def test_arrays_are_read_only_and_not_aliases() -> None:
    joints = np.zeros(7)
    value = state(joint_position_rad=joints)
    joints[0] = 1.0
    assert value.joint_position_rad[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        value.joint_position_rad[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.gripper_width_m = 0.0


def test_other_values_refuse() -> None:
    with pytest.raises(InvalidValueError, match="at least one point"):
        Keypoints(np.zeros((0, 2)), np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(InvalidValueError, match="empty"):
        Detection("red button", np.array([5.0, 5, 5, 9]), 0.5)
    with pytest.raises(InvalidValueError, match=r"0\.\.1"):
        Detection("red button", np.array([5.0, 5, 8, 9]), 1.5)
    with pytest.raises(InvalidValueError, match="visible"):
        PointTracks(1, np.zeros((2, 2)), np.ones(3, bool), np.zeros(2))


def test_observation_joins_one_frame_only() -> None:
    assert Observation(frame(5), patches(5), state()).stamp_ns == 5
    with pytest.raises(InvalidValueError, match="same frame"):
        Observation(frame(5), patches(6), state())


def test_chunk_times() -> None:
    assert chunk().dt_ns == 100_000_000
    assert chunk().end_ns == 1_000 + 300_000_000


def test_tracked_share() -> None:
    assert patches().tracked_share == 0.5
