"""One demonstration as arrays at the camera's resolution: what every export writes and every import gives."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.bags.reader import BagReader
from glue_perception.bags.topics import CAMERA_FRAME
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import DatasetError
from glue_perception.geometry import rotation_6d_from_matrix
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState
from glue_policy.data.demonstration import Step, demonstrated_steps

KEY_PATCH_FIELDS = ("row_col", "xy_px", "visible", "health", "query_index")


@dataclass(frozen=True, eq=False)
class KeyPatchArrays:
    """The key-patches of all steps, see `KeyPatches`."""

    row_col: Int[np.ndarray, "t n 2"]
    xy_px: Float[np.ndarray, "t n 2"]
    visible: Bool[np.ndarray, "t n"]
    health: Int[np.ndarray, "t n"]
    query_index: Int[np.ndarray, "t n"]


@dataclass(frozen=True, eq=False)
class Record:
    """One demonstration; only its demonstrated steps, in the order of time.

    Attributes:
        name: Of the bag, or the episode's name where it comes from.
        stamp_ns: Capture stamps.
        rgb: Images at the camera's resolution.
        intrinsics: Pinhole matrix [px], one for all steps.
        joint_position_rad: Joints 1 to 7.
        joint_velocity_rad_s: Joints 1 to 7.
        T_base_ee: Poses of the tool centre point in the base frame, translations in metres.
        gripper_width_m: Distance between the finger tips.
        action: position_m (3), rotation_6d (6), gripper_width_m (1): absolute, base frame, the target in force at the
            step's stamp.
        dt_s: Time between steps.
        metadata: What the bag says of itself.
        depth_m: Depth aligned to the images, 0 where unknown, or None.
        key_patches: None where there are none (yet).

    Raises:
        DatasetError: arrays of unlike length or of a wrong shape, NaN, or no step.
    """

    name: str
    stamp_ns: Int[np.ndarray, "t"]
    rgb: UInt8[np.ndarray, "t h w 3"]
    intrinsics: Float[np.ndarray, "3 3"]
    joint_position_rad: Float[np.ndarray, "t 7"]
    joint_velocity_rad_s: Float[np.ndarray, "t 7"]
    T_base_ee: Float[np.ndarray, "t 4 4"]
    gripper_width_m: Float[np.ndarray, "t"]
    action: Float[np.ndarray, "t 10"]
    dt_s: float
    metadata: dict[str, str]
    depth_m: Float[np.ndarray, "t h w"] | None = None
    key_patches: KeyPatchArrays | None = None

    def __post_init__(self) -> None:
        t, (h, w) = len(self.stamp_ns), self.rgb.shape[1:3]
        shapes: dict[str, tuple[int, ...]] = {
            "rgb": (t, h, w, 3),
            "joint_position_rad": (t, 7),
            "joint_velocity_rad_s": (t, 7),
            "T_base_ee": (t, 4, 4),
            "gripper_width_m": (t,),
            "action": (t, 10),
        }
        if t == 0:
            raise DatasetError(f"{self.name} holds no step")
        for field, shape in shapes.items():
            values = getattr(self, field)
            if values.shape != shape:
                raise DatasetError(f"{self.name}: {field} must be of shape {shape}, not {values.shape}")
            if not np.isfinite(values).all():
                raise DatasetError(
                    f"{self.name}: {field} holds NaN or infinite values; leave this episode out"
                )

    def __len__(self) -> int:
        return len(self.stamp_ns)

    def frames(self) -> Iterator[CameraFrame]:
        """Give the images as camera frames."""
        for k, rgb in enumerate(self.rgb):
            depth = None if self.depth_m is None else self.depth_m[k]
            yield CameraFrame(int(self.stamp_ns[k]), CAMERA_FRAME, rgb, self.intrinsics, depth)


def record_of_bag(path: Path) -> Record:
    """Return the demonstrated steps of a bag; key-patches are left out where a step lacks them.

    Raises:
        BagError: see `demonstrated_steps`.
        DatasetError: the camera's intrinsics, or the number of key-patches, change within the bag.
    """
    with BagReader(path) as bag:
        steps = list(demonstrated_steps(bag, need_key_patches=False))
        metadata = dict(bag.metadata)
    first = steps[0].frame
    if any(not np.array_equal(step.frame.intrinsics, first.intrinsics) for step in steps):
        raise DatasetError(f"{path}: the camera's intrinsics change within the recording; leave it out")
    states = [step.robot_state for step in steps]
    depths = [step.frame.depth_m for step in steps]
    return Record(
        name=path.name,
        stamp_ns=np.array([step.stamp_ns for step in steps], dtype=np.int64),
        rgb=np.stack([step.frame.rgb for step in steps]),
        intrinsics=first.intrinsics,
        joint_position_rad=np.stack([state.joint_position_rad for state in states]),
        joint_velocity_rad_s=np.stack([state.joint_velocity_rad_s for state in states]),
        T_base_ee=np.stack([state.T_base_ee for state in states]),
        gripper_width_m=np.array([state.gripper_width_m for state in states]),
        action=np.stack([_action_row(step.action) for step in steps]),
        dt_s=steps[0].action.dt_s,
        metadata=metadata,
        depth_m=None if any(d is None for d in depths) else np.stack([d for d in depths if d is not None]),
        key_patches=_key_patch_arrays(path, steps),
    )


def write_bag(path: Path, record: Record) -> None:
    """Write a record as a bag that `glue train` reads; its frames are the record's steps.

    Raises:
        BagError: the path exists or cannot be written.
        DatasetError: a value that no bag may hold.
    """
    try:
        with BagWriter(path, {"outcome": "success", **record.metadata}) as bag:
            for k, frame in enumerate(record.frames()):
                bag.frame(frame)
                bag.robot_state(_state(record, k))
                if record.key_patches is not None:
                    columns = {name: getattr(record.key_patches, name)[k] for name in KEY_PATCH_FIELDS}
                    bag.key_patches(KeyPatches(frame.stamp_ns, **columns))
                bag.demonstrated_action(_action(record, k))
    except ValueError as error:
        raise DatasetError(f"{record.name}: {error}") from error


def with_next_pose_as_action(record: Record) -> Record:
    """Return the record with other actions: at each step the pose and gripper width measured one step later.

    For data whose own actions are of another space. The last step keeps its own pose. A measured pose lags behind the
    target that caused it, so a policy learns somewhat slower motion.
    """
    later = np.minimum(np.arange(len(record)) + 1, len(record) - 1)
    T = record.T_base_ee[later]
    rotation_6d = rotation_6d_from_matrix(T[:, :3, :3])
    action = np.concatenate([T[:, :3, 3], rotation_6d, record.gripper_width_m[later][:, None]], axis=1)
    return replace(record, action=action)


def _action_row(action: ActionChunk) -> Float[np.ndarray, "10"]:
    return np.concatenate([action.position_m[0], action.rotation_6d[0], action.gripper_width_m])


def _action(record: Record, k: int) -> ActionChunk:
    row = record.action[k].astype(np.float64)
    return ActionChunk(int(record.stamp_ns[k]), record.dt_s, row[None, :3], row[None, 3:9], row[9:])


def _state(record: Record, k: int) -> RobotState:
    return RobotState(
        int(record.stamp_ns[k]),
        record.joint_position_rad[k].astype(np.float64),
        record.joint_velocity_rad_s[k].astype(np.float64),
        record.T_base_ee[k].astype(np.float64),
        float(record.gripper_width_m[k]),
    )


def _key_patch_arrays(path: Path, steps: list[Step]) -> KeyPatchArrays | None:
    patches = [step.key_patches for step in steps if step.key_patches is not None]
    if len(patches) < len(steps):
        if patches:
            warnings.warn(f"{path}: only {len(patches)} of {len(steps)} steps have key-patches", stacklevel=3)
        return None
    counts = sorted({len(p) for p in patches})
    if len(counts) > 1:
        raise DatasetError(f"{path} holds a varying number of key-patches: {counts}; record it again")
    return KeyPatchArrays(
        **{name: np.stack([getattr(p, name) for p in patches]) for name in KEY_PATCH_FIELDS}
    )
