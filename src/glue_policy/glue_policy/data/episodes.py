"""Recorded demonstrations as arrays, checked before any training step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.bags.reader import BagReader
from glue_perception.errors import BagError, InvalidValueError
from glue_perception.types import CameraFrame
from glue_policy.data.demonstration import Step, check_spacing, demonstrated_steps
from glue_policy.data.image import policy_image, relative_xy

MIN_STEPS = 2
"""A demonstration of one step has no spacing that could be checked, and shows no motion."""

PointsOf = Callable[[CameraFrame, Float[np.ndarray, "4 4"]], Float[np.ndarray, "p 3"]]
"""A frame with depth and its T_base_camera to points in the base frame [m]."""


@dataclass(frozen=True, eq=False)
class EpisodeArrays:
    """One demonstration, one row per step at the policy's rate.

    Attributes:
        image: Policy images.
        row_col: Key-patch cells.
        xy: Keypoints in 0..1.
        visible: Of the key-patches.
        joint_position_rad: Joints.
        action: position_m, rotation_6d, gripper_width_m: the target in force at the step's stamp.
        stamp_ns: Capture stamps.
        task: Name of the task.
        camera_size_px: Width and height of the recorded images; None where that is not known.
        points: Point clouds in the base frame [m], or None.

    Raises:
        BagError: lengths that differ, fewer than two steps, NaN or infinite values.
    """

    image: UInt8[np.ndarray, "t s s 3"]
    row_col: Int[np.ndarray, "t n 2"]
    xy: Float[np.ndarray, "t n 2"]
    visible: Bool[np.ndarray, "t n"]
    joint_position_rad: Float[np.ndarray, "t 7"]
    action: Float[np.ndarray, "t 10"]
    stamp_ns: Int[np.ndarray, "t"]
    task: str
    camera_size_px: tuple[int, int] | None = None
    points: Float[np.ndarray, "t p 3"] | None = None

    def __post_init__(self) -> None:
        steps = self.arrays()
        lengths = {name: len(values) for name, values in steps.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BagError(f"the demonstration's arrays differ in length: {listed}")
        if len(self) < MIN_STEPS:
            raise BagError(f"the demonstration has {len(self)} steps; {MIN_STEPS} are the least")
        for name, values in steps.items():
            if np.issubdtype(values.dtype, np.floating):
                bad = np.flatnonzero(~np.isfinite(values.reshape(len(self), -1)).all(axis=1))
                if len(bad):
                    raise BagError(
                        f"the demonstration's {name} holds NaN or infinite values at step {bad[0]} "
                        f"({len(bad)} steps in all); leave it out"
                    )

    def __len__(self) -> int:
        return len(self.stamp_ns)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a training set stores, by its names; images channels first."""
        arrays = {
            "image": self.image.transpose(0, 3, 1, 2),
            "row_col": self.row_col.astype(np.uint8),
            "xy": self.xy,
            "visible": self.visible,
            "joint_position": self.joint_position_rad,
            "action": self.action,
            "stamp_ns": self.stamp_ns,
        }
        return arrays if self.points is None else arrays | {"points": self.points}


def load_episode(
    bag_path: Path, image_size_px: int, dt_s: float = 0.1, points_of: PointsOf | None = None
) -> EpisodeArrays:
    """Return the steps of a bag that hold a demonstrated action.

    Args:
        bag_path: The bag's directory.
        image_size_px: Side of the policy's images.
        dt_s: Time between steps.
        points_of: Makes the point cloud of a frame; None: none is made.

    Raises:
        BagError: the bag is unreadable, lacks actions, images, key-patches, states or (for point clouds) depth at
            their stamps, has gaps, NaN, images of several sizes, or a varying number of key-patches.
    """
    with BagReader(bag_path) as bag:
        make_points = None if points_of is None else _points_maker(bag, points_of)
        rows = []
        for step in demonstrated_steps(bag):
            row = _row(step, image_size_px)
            if make_points is not None:
                row["points"] = make_points(step.frame)
            rows.append(row)
            size_px = (step.frame.width_px, step.frame.height_px)
        task = bag.metadata.get("task", "")
    counts = {len(row["row_col"]) for row in rows}
    if len(counts) != 1:
        raise BagError(
            f"{bag_path} holds a varying number of key-patches: {sorted(counts)}; record it again, or run perception "
            "over it anew"
        )
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    try:
        episode = EpisodeArrays(task=task, camera_size_px=size_px, **columns)
    except BagError as error:
        raise BagError(f"{bag_path}: {error}") from error
    check_spacing(bag_path, episode.stamp_ns, dt_s)
    return episode


def _row(step: Step, image_size_px: int) -> dict[str, np.ndarray]:
    patches, action = step.key_patches, step.action
    if patches is None:
        raise BagError(f"the step at {step.stamp_ns} ns has no key-patches")
    values = [action.position_m[0], action.rotation_6d[0], action.gripper_width_m]
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is refused by name later
        return {
            "image": policy_image(step.frame, image_size_px),
            "row_col": patches.row_col,
            "xy": relative_xy(patches, step.frame),
            "visible": patches.visible,
            "joint_position_rad": step.robot_state.joint_position_rad.astype(np.float32),
            "action": np.concatenate(values).astype(np.float32),
            "stamp_ns": np.array(step.stamp_ns),
        }


def _points_maker(bag: BagReader, points_of: PointsOf) -> Callable[[CameraFrame], np.ndarray]:
    T_base_camera = camera_pose_of(bag)

    def make(frame: CameraFrame) -> np.ndarray:
        if frame.depth_m is None:
            raise BagError(
                f"{bag.path} holds no depth for the frame of {frame.stamp_ns} ns, which a policy on point clouds "
                "needs; record with the camera's depth on, or train another policy"
            )
        try:
            return points_of(frame, T_base_camera).astype(np.float32)
        except InvalidValueError as error:
            raise BagError(f"{bag.path}: the frame of {frame.stamp_ns} ns: {error}") from error

    return make


def camera_pose_of(bag: BagReader) -> Float[np.ndarray, "4 4"]:
    """Return T_base_camera of a bag's metadata.

    Raises:
        BagError: the bag does not say it, or says no pose.
    """
    try:
        T_base_camera = np.array(json.loads(bag.metadata["T_base_camera"]), dtype=np.float64)
    except (KeyError, ValueError) as error:
        raise BagError(
            f"{bag.path} does not say where the camera stands (T_base_camera in its metadata), which point clouds "
            "need; calibrate the camera and record again"
        ) from error
    if T_base_camera.shape != (4, 4) or not np.isfinite(T_base_camera).all():
        raise BagError(f"{bag.path}: T_base_camera in its metadata is not a finite 4 x 4 matrix")
    return T_base_camera
