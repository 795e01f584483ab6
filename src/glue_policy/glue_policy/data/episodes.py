"""Recorded demonstrations as arrays, checked before any training step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.bags.reader import BagReader
from glue_perception.errors import BagError
from glue_perception.types import ActionChunk, RobotState
from glue_policy.data.image import policy_image, relative_xy

SPACING_TOLERANCE = 0.5
"""Share of the sampling period by which two steps may be apart more or less."""


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
    """

    image: UInt8[np.ndarray, "t s s 3"]
    row_col: Int[np.ndarray, "t n 2"]
    xy: Float[np.ndarray, "t n 2"]
    visible: Bool[np.ndarray, "t n"]
    joint_position_rad: Float[np.ndarray, "t 7"]
    action: Float[np.ndarray, "t 10"]
    stamp_ns: Int[np.ndarray, "t"]
    task: str

    def __len__(self) -> int:
        return len(self.stamp_ns)


def load_episode(bag_path: Path, image_size_px: int, dt_s: float = 0.1) -> EpisodeArrays:
    """Return the steps of a bag that hold a demonstrated action.

    Raises:
        BagError: the bag is unreadable, lacks actions, images, key-patches or states at their stamps, has gaps, or
            holds a varying number of key-patches.
    """
    with BagReader(bag_path) as bag:
        actions = {a.stamp_ns: a for a in bag.demonstrated_actions()}
        if not actions:
            raise BagError(
                f"{bag_path} holds no demonstrated actions; record demonstrations with --policy expert or by hand"
            )
        patches = {p.stamp_ns: p for p in bag.key_patches() if p.stamp_ns in actions}
        states = {s.stamp_ns: s for s in bag.robot_states() if s.stamp_ns in actions}
        rows = []
        for frame in bag.frames():
            if frame.stamp_ns not in actions:
                continue
            if frame.stamp_ns not in patches or frame.stamp_ns not in states:
                raise BagError(
                    f"{bag_path} lacks key-patches or a robot state for the frame of {frame.stamp_ns} ns"
                )
            key_patches = patches[frame.stamp_ns]
            rows.append(
                (
                    policy_image(frame, image_size_px),
                    key_patches.row_col,
                    relative_xy(key_patches, frame),
                    key_patches.visible,
                    _joints(states[frame.stamp_ns]),
                    _action(actions[frame.stamp_ns]),
                    frame.stamp_ns,
                )
            )
        task = bag.metadata.get("task", "")
    if len(rows) != len(actions):
        raise BagError(
            f"{bag_path} holds {len(actions)} demonstrated actions but images for {len(rows)} of them"
        )
    counts = {len(row[1]) for row in rows}
    if len(counts) != 1:
        raise BagError(f"{bag_path} holds a varying number of key-patches: {sorted(counts)}")
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    image, row_col, xy, visible, joints, action, stamp_ns = columns
    episode = EpisodeArrays(image, row_col, xy, visible, joints, action, stamp_ns, task)
    _check_spacing(bag_path, episode, dt_s)
    return episode


def _joints(state: RobotState) -> Float[np.ndarray, "7"]:
    return state.joint_position_rad.astype(np.float32)


def _action(chunk: ActionChunk) -> Float[np.ndarray, "10"]:
    values = [chunk.position_m[0], chunk.rotation_6d[0], chunk.gripper_width_m[:1]]
    return np.concatenate(values).astype(np.float32)


def _check_spacing(bag_path: Path, episode: EpisodeArrays, dt_s: float) -> None:
    gaps_s = np.diff(episode.stamp_ns) / 1e9
    wrong = np.flatnonzero(np.abs(gaps_s - dt_s) > SPACING_TOLERANCE * dt_s)
    if len(wrong):
        raise BagError(
            f"{bag_path} has a gap of {gaps_s[wrong[0]]:.3f} s after step {wrong[0]} where {dt_s} s is expected; "
            "leave this demonstration out"
        )
