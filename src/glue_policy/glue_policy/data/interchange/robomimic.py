"""robomimic's HDF5: `data/demo_N/{obs,actions,rewards,dones}`, with robosuite's names for observations.

Everything is stored in the precision of the bag, so the round trip is exact. Beside what robomimic reads, each
demonstration holds under `glue` what only a bag has: stamps, intrinsics, exact poses, key-patches, metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glue_perception.cameras.intrinsics import DEFAULT_FIELD_OF_VIEW_DEG, intrinsics_from_field_of_view
from glue_perception.errors import DatasetError
from glue_perception.geometry import matrix_from_quaternion, quaternion_from_matrix
from glue_policy.data.interchange.base import (
    DatasetWriter,
    ReadOptions,
    checked_metadata,
    damage_as_error,
    import_package,
    stamps_at_rate,
    ten_numbers,
)
from glue_policy.data.interchange.record import (
    KEY_PATCH_FIELDS,
    KeyPatchArrays,
    Record,
    with_next_pose_as_action,
)

EXTRA = "robomimic"
CAMERA = "agentview"
GYM_TYPE = 2
"""robomimic's EnvType for what is not robosuite's; only rollouts use it."""


class RobomimicWriter(DatasetWriter):
    """Writes one HDF5 file."""

    def __init__(self, path: Path) -> None:
        self._h5py = import_package("h5py", EXTRA)
        super().__init__(path)
        try:
            self._file = self._h5py.File(self._partial, "w")
        except OSError as error:
            raise DatasetError(f"cannot write {path}: {error}") from error
        self._data = self._file.create_group("data")
        self._total = self._count = 0

    def _add(self, record: Record) -> None:
        demo = self._data.create_group(f"demo_{self._count}")
        t = len(record)
        ends = np.zeros(t)
        ends[-1] = 1.0
        demo.attrs["num_samples"] = t
        demo["actions"] = record.action
        demo["rewards"] = ends
        demo["dones"] = ends.astype(np.int64)
        self._write_observations(demo.create_group("obs"), record)
        self._write_rest(demo.create_group("glue"), record)
        if self._count == 0:
            task = record.metadata.get("task", "")
            kwargs = {"control_freq": 1.0 / record.dt_s}
            environment = {"env_name": task, "env_version": "1", "type": GYM_TYPE, "env_kwargs": kwargs}
            self._data.attrs["env_args"] = json.dumps(environment)
        self._count += 1
        self._total += t
        self._data.attrs["total"] = self._total

    def _write_observations(self, obs: Any, record: Record) -> None:
        _images(obs, f"{CAMERA}_image", record.rgb)
        if record.depth_m is not None:
            _images(obs, f"{CAMERA}_depth", record.depth_m[..., None])
        obs["robot0_joint_pos"] = record.joint_position_rad
        obs["robot0_joint_vel"] = record.joint_velocity_rad_s
        obs["robot0_eef_pos"] = record.T_base_ee[:, :3, 3]
        obs["robot0_eef_quat"] = np.stack([quaternion_from_matrix(T[:3, :3]) for T in record.T_base_ee])
        # robosuite counts the fingers from the middle, in opposite directions.
        obs["robot0_gripper_qpos"] = record.gripper_width_m[:, None] * [0.5, -0.5]

    def _write_rest(self, glue: Any, record: Record) -> None:
        glue.attrs["name"] = record.name
        glue.attrs["metadata"] = json.dumps(record.metadata)
        glue.attrs["dt_s"] = record.dt_s
        glue["stamp_ns"] = record.stamp_ns
        glue["intrinsics"] = record.intrinsics
        glue["T_base_ee"] = record.T_base_ee
        if record.key_patches is not None:
            for name in KEY_PATCH_FIELDS:
                glue[f"key_patches/{name}"] = getattr(record.key_patches, name)

    def _finish(self) -> None:
        """All is written already."""

    def _close(self) -> None:
        self._file.close()


@damage_as_error
def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    """Yield the demonstrations of a robomimic file, ours or another's, in the order of their numbers.

    Raises:
        DatasetError: not such a file, or it lacks what a bag needs.
    """
    h5py = import_package("h5py", EXTRA)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(f"{path} is not an HDF5 file that can be read ({error})") from error
    with file:
        if "data" not in file or not len(file["data"]):
            raise DatasetError(f"{path} holds no group 'data' with demonstrations; is it robomimic's format?")
        data = file["data"]
        told_dt_s, task = _environment(data)
        for name in sorted(data, key=_number):
            yield _record(path, name, data[name], told_dt_s, task, options)


def _record(
    path: Path, name: str, demo: Any, told_dt_s: float | None, task: str, options: ReadOptions
) -> Record:
    where = f"{path}: {name}"
    glue, obs = demo.get("glue"), demo.get("obs")
    if obs is None:
        raise DatasetError(
            f"{where} holds no observations; extract them first (robomimic's dataset_states_to_obs.py)"
        )
    rgb = np.asarray(obs[_image_key(where, obs, options)])
    height, width = rgb.shape[1:3]
    t = len(rgb)
    dt_s = options.dt_s(float(glue.attrs["dt_s"]) if glue is not None else told_dt_s, path)
    depth = obs.get(f"{CAMERA}_depth") if glue is not None else None
    fingers = _array(where, obs, "robot0_gripper_qpos")
    own = ten_numbers(np.asarray(demo["actions"]), where) if options.own_actions else np.zeros((t, 10))
    record = Record(
        name=str(glue.attrs["name"]) if glue is not None else f"episode_{_number(name):06d}",
        stamp_ns=np.asarray(glue["stamp_ns"]) if glue is not None else stamps_at_rate(t, dt_s),
        rgb=rgb,
        intrinsics=np.asarray(glue["intrinsics"])
        if glue is not None
        else intrinsics_from_field_of_view(width, height, DEFAULT_FIELD_OF_VIEW_DEG),
        joint_position_rad=_array(where, obs, "robot0_joint_pos"),
        joint_velocity_rad_s=np.asarray(obs["robot0_joint_vel"])
        if "robot0_joint_vel" in obs
        else np.zeros((t, 7)),
        T_base_ee=np.asarray(glue["T_base_ee"]) if glue is not None else _poses(where, obs),
        gripper_width_m=fingers[:, 0] - fingers[:, 1]
        if fingers.shape[1:] == (2,)
        else fingers.reshape(t, -1)[:, 0],
        action=own,
        dt_s=dt_s,
        metadata=checked_metadata(json.loads(glue.attrs["metadata"]), where)
        if glue is not None
        else {"task": task},
        depth_m=None if depth is None else np.asarray(depth)[..., 0],
        key_patches=_key_patches(glue),
    )
    return record if options.own_actions else with_next_pose_as_action(record)


def _array(where: str, obs: Any, key: str) -> np.ndarray:
    if key not in obs:
        raise DatasetError(f"{where} lacks obs/{key}, which a bag needs; it holds {', '.join(sorted(obs))}")
    return np.asarray(obs[key])


def _poses(where: str, obs: Any) -> np.ndarray:
    position = _array(where, obs, "robot0_eef_pos")
    T = np.tile(np.eye(4), (len(position), 1, 1))
    T[:, :3, :3] = matrix_from_quaternion(_array(where, obs, "robot0_eef_quat").astype(np.float64))
    T[:, :3, 3] = position
    return T


def _image_key(where: str, obs: Any, options: ReadOptions) -> str:
    keys = [key for key in sorted(obs) if key.endswith("_image") or key == options.camera]
    if options.camera is not None:
        chosen = [key for key in keys if key in (options.camera, f"{options.camera}_image")]
    else:
        chosen = [key for key in keys if key == f"{CAMERA}_image"] or keys
    if len(chosen) != 1:
        raise DatasetError(
            f"{where} holds the images {', '.join(keys) or 'none'}; "
            + ("choose one with --camera" if keys else "extract image observations first")
        )
    return str(chosen[0])


def _environment(data: Any) -> tuple[float | None, str]:
    """Return the time between steps, if it is said, and the name of the task."""
    try:
        environment = json.loads(data.attrs.get("env_args", "{}"))
        rate_hz = environment.get("env_kwargs", {}).get("control_freq")
        return (1.0 / float(rate_hz) if rate_hz else None), str(environment.get("env_name", ""))
    except (ValueError, AttributeError) as error:
        raise DatasetError(f"the file's env_args are not what robomimic writes ({error})") from error


def _key_patches(glue: Any) -> KeyPatchArrays | None:
    if glue is None or "key_patches" not in glue:
        return None
    return KeyPatchArrays(**{name: np.asarray(glue["key_patches"][name]) for name in KEY_PATCH_FIELDS})


def _images(group: Any, name: str, values: np.ndarray) -> None:
    # gzip is the one compression that every HDF5 library has.
    group.create_dataset(
        name,
        data=values,
        chunks=(1, *values.shape[1:]),
        compression="gzip",
        compression_opts=1,
        shuffle=False,
    )


def _number(name: str) -> int:
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0
