"""LeRobot's dataset format v3.0: which file lies where, and which column means what.

```
meta/info.json  meta/stats.json  meta/tasks.parquet  meta/episodes/chunk-000/file-000.parquet  meta/glue.json
data/chunk-000/file-000.parquet                        one row per step
videos/observation.images.camera/chunk-000/file-000.mp4  (or PNG bytes in the data files)
```

The format lets a file hold many episodes; this writer gives each episode files of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glue_perception.bags.topics import JOINT_NAMES
from glue_perception.geometry import make_transform, matrix_from_rotation_6d, rotation_6d_from_matrix
from glue_policy.data.interchange.record import KEY_PATCH_FIELDS, Record

VERSION = "v3.0"
EXTRA = "lerobot"
CHUNKS_SIZE = 1000
INFO, STATS, TASKS, GLUE = "meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/glue.json"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CAMERA = "observation.images.camera"
STATE, ACTION = "observation.state", "action"

POSE_NAMES = ("x", "y", "z", *(f"rotation_6d_{i}" for i in range(6)))
STATE_NAMES = (*JOINT_NAMES, "gripper_width")
ACTION_NAMES = (*POSE_NAMES, "gripper_width")
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")


def columns_of(record: Record) -> dict[str, np.ndarray]:
    """Return a record's numbers as LeRobot's columns [t d] or [t], in the format's usual precision.

    What LeRobot has no name for begins with `glue.`, which its policies leave alone.
    """
    T = record.T_base_ee
    columns = {
        STATE: np.concatenate([record.joint_position_rad, record.gripper_width_m[:, None]], axis=1),
        ACTION: record.action,
        "glue.joint_velocity": record.joint_velocity_rad_s,
        "glue.ee_pose": np.concatenate([T[:, :3, 3], rotation_6d_from_matrix(T[:, :3, :3])], axis=1),
    }
    columns = {name: values.astype(np.float32) for name, values in columns.items()}
    columns["glue.stamp_ns"] = record.stamp_ns
    if record.key_patches is not None:
        for name in KEY_PATCH_FIELDS:
            values = getattr(record.key_patches, name).reshape(len(record), -1)
            exact = values.astype(np.float32) if values.dtype == np.float64 else values
            columns[f"glue.key_patches.{name}"] = exact[:, 0] if exact.shape[1] == 1 else exact
    return columns


def names_of(column: str) -> list[str] | None:
    """Return what the elements of a column are called."""
    names = {
        STATE: STATE_NAMES,
        ACTION: ACTION_NAMES,
        "glue.joint_velocity": JOINT_NAMES,
        "glue.ee_pose": POSE_NAMES,
    }
    return list(names[column]) if column in names else None


def feature(column: str, values: np.ndarray) -> dict[str, Any]:
    """Return the entry of info.json for a column."""
    shape = list(values.shape[1:]) or [1]
    return {"dtype": values.dtype.name, "shape": shape, "names": names_of(column)}


def pose_from_columns(pose: np.ndarray) -> np.ndarray:
    """Return T_base_ee [t 4 4] from positions and rotation_6d [t 9], orthonormal again in double precision."""
    rotation = matrix_from_rotation_6d(pose[:, 3:].astype(np.float64))
    return np.stack([make_transform(R, p) for R, p in zip(rotation, pose[:, :3], strict=True)])


def place(template: str, number: int, **more: str) -> str:
    """Return the path of the file with a running number."""
    chunk, file = divmod(number, CHUNKS_SIZE)
    return template.format(chunk_index=chunk, file_index=file, **more)
