"""Diffusion Policy's replay buffer: zarr (format 2), all episodes one after the other, `meta/episode_ends`.

Everything is stored in the precision of the bag, so the round trip is exact. `camera_0`, `robot_joint`,
`robot_joint_vel`, `robot_eef_pose` (position and rotation vector), `action` and `timestamp` are the names of that
project's real-robot data; what only a bag has stands beside them under names that begin with `glue_`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glue_perception.cameras.intrinsics import DEFAULT_FIELD_OF_VIEW_DEG, intrinsics_from_field_of_view
from glue_perception.errors import DatasetError
from glue_perception.geometry import make_transform, matrix_from_rotation_vector, rotation_vector
from glue_perception.timing import NS_PER_S
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

EXTRA = "diffusion-policy"
CAMERA = "camera_0"
DEPTH = "camera_0_depth"
HARMLESS_CODECS = frozenset({"blosc", "zstd", "lz4", "zlib", "gzip", "bz2", "lzma", "delta", "shuffle"})
ROWS_PER_CHUNK = 256
"""Of arrays that are not images; those have one row per chunk, so that a reader decompresses what it asks for."""


class DiffusionPolicyWriter(DatasetWriter):
    """Writes one zarr directory."""

    def __init__(self, path: Path) -> None:
        self._zarr = import_package("zarr", EXTRA)
        super().__init__(path)
        try:
            root = self._zarr.open_group(str(self._partial), mode="w", zarr_format=2)
        except OSError as error:
            raise DatasetError(f"cannot write {path}: {error}") from error
        self._data, self._meta = root.create_group("data"), root.create_group("meta")
        self._ends: list[int] = []
        self._episodes: list[dict[str, Any]] = []

    def _add(self, record: Record) -> None:
        for name, values in _columns(record).items():
            if name not in self._data:
                image = name in (CAMERA, DEPTH)
                self._data.create_array(
                    name,
                    shape=(0, *values.shape[1:]),
                    chunks=(1 if image else ROWS_PER_CHUNK, *values.shape[1:]),
                    dtype=values.dtype,
                )
            self._data[name].append(values)
        self._ends.append((self._ends[-1] if self._ends else 0) + len(record))
        self._episodes.append(
            {
                "name": record.name,
                "dt_s": record.dt_s,
                "intrinsics": record.intrinsics.tolist(),
                "metadata": record.metadata,
            }
        )

    def _finish(self) -> None:
        ends = np.array(self._ends, dtype=np.int64)
        self._meta.create_array("episode_ends", data=ends)
        self._meta.attrs["glue_episodes"] = self._episodes

    def _close(self) -> None:
        """Nothing stays open."""


def _columns(record: Record) -> dict[str, np.ndarray]:
    poses = [np.concatenate([T[:3, 3], rotation_vector(T[:3, :3])]) for T in record.T_base_ee]
    columns = {
        CAMERA: record.rgb,
        "robot_joint": record.joint_position_rad,
        "robot_joint_vel": record.joint_velocity_rad_s,
        "robot_eef_pose": np.stack(poses),
        "gripper_width": record.gripper_width_m[:, None],
        "action": record.action,
        "timestamp": record.stamp_ns / NS_PER_S,
        "glue_stamp_ns": record.stamp_ns,
        "glue_T_base_ee": record.T_base_ee,
    }
    if record.depth_m is not None:
        columns[DEPTH] = record.depth_m
    if record.key_patches is not None:
        columns |= {
            f"glue_key_patches_{name}": getattr(record.key_patches, name) for name in KEY_PATCH_FIELDS
        }
    return columns


@damage_as_error
def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    """Yield the episodes of a replay buffer, ours or another's.

    Raises:
        DatasetError: not such a directory, or it lacks what a bag needs.
    """
    zarr = import_package("zarr", EXTRA)
    try:
        root = zarr.open_group(str(path), mode="r")
        data, ends = root["data"], np.asarray(_harmless(path, root["meta/episode_ends"]))
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"{path} is not a replay buffer: no data and meta/episode_ends ({error})"
        ) from error
    told = root["meta"].attrs.get("glue_episodes")
    starts = np.concatenate([[0], ends[:-1]])
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        rows, where = slice(int(start), int(end)), f"{path}: episode {number}"
        about = dict(told[number]) if told is not None else None
        yield _record(where, number, data, rows, about, options)


def _record(
    where: str, number: int, data: Any, rows: slice, told: dict[str, Any] | None, options: ReadOptions
) -> Record:
    def column(name: str) -> np.ndarray:
        if name not in data:
            raise DatasetError(
                f"{where}: lacks data/{name}, which a bag needs; it holds {', '.join(sorted(data))}"
            )
        return np.asarray(_harmless(where, data[name])[rows])

    rgb = column(_image_key(where, data, options))
    if rgb.dtype != np.uint8:
        rgb = _bytes_of(where, rgb)
    t, height, width = rgb.shape[:3]
    poses = column("glue_T_base_ee") if told is not None else _poses(column("robot_eef_pose"))
    stamps = column("timestamp") if told is None and "timestamp" in data else None
    dt_s = options.dt_s(_told_dt_s(told, stamps), where)
    record = Record(
        name=str(told["name"]) if told is not None else f"episode_{number:06d}",
        stamp_ns=column("glue_stamp_ns") if told is not None else stamps_at_rate(t, dt_s),
        rgb=rgb,
        intrinsics=np.array(told["intrinsics"])
        if told is not None
        else intrinsics_from_field_of_view(width, height, DEFAULT_FIELD_OF_VIEW_DEG),
        joint_position_rad=column("robot_joint"),
        joint_velocity_rad_s=column("robot_joint_vel") if "robot_joint_vel" in data else np.zeros((t, 7)),
        T_base_ee=poses,
        gripper_width_m=column("gripper_width")[:, 0] if "gripper_width" in data else np.zeros(t),
        action=ten_numbers(column("action"), where) if options.own_actions else np.zeros((t, 10)),
        dt_s=dt_s,
        metadata=checked_metadata(told["metadata"], where) if told is not None else {},
        depth_m=column(DEPTH) if told is not None and DEPTH in data else None,
        key_patches=_key_patches(column) if "glue_key_patches_row_col" in data else None,
    )
    return record if options.own_actions else with_next_pose_as_action(record)


def _harmless(where: object, array: Any) -> Any:
    """Return an array of numbers that decoding cannot turn into code: zarr's format 2 has a codec that unpickles.

    Raises:
        DatasetError: not an array of numbers in format 2, or a codec that is not known to be harmless.
    """
    about = getattr(array, "metadata", None)
    if about is None or about.zarr_format != 2 or array.dtype.kind not in "biuf":
        raise DatasetError(f"{where}: {array} is not an array of numbers in zarr's format 2")
    codecs = {codec.codec_id for codec in (about.compressor, *(about.filters or ())) if codec is not None}
    if unknown := codecs - HARMLESS_CODECS:
        raise DatasetError(
            f"{where}: an array is encoded with {', '.join(sorted(unknown))}; known are {', '.join(HARMLESS_CODECS)}"
        )
    return array


def _told_dt_s(told: dict[str, Any] | None, stamps_s: np.ndarray | None) -> float | None:
    if told is not None:
        return float(told["dt_s"])
    if stamps_s is None or len(stamps_s) < 2:
        return None
    return float(np.median(np.diff(stamps_s)))


def _image_key(where: str, data: Any, options: ReadOptions) -> str:
    known = [name for name in sorted(data) if len(data[name].shape) == 4 and data[name].shape[3] == 3]
    wanted = options.camera or CAMERA
    chosen = [wanted] if wanted in known else known if options.camera is None else []
    if len(chosen) != 1:
        raise DatasetError(
            f"{where}: holds the images {', '.join(known) or 'none'}; "
            + ("choose one with --camera" if known else "a bag needs images")
        )
    return chosen[0]


def _bytes_of(where: str, image: np.ndarray) -> np.ndarray:
    """Return float images as bytes: some buffers hold 0..255 as float32, as PushT's does."""
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 255):
        raise DatasetError(f"{where}: images of {image.dtype} must lie in 0..255")
    if image.max() <= 1.0:
        image = image * 255.0
    return np.round(image).astype(np.uint8)


def _poses(pose: np.ndarray) -> np.ndarray:
    return np.stack([make_transform(matrix_from_rotation_vector(row[3:]), row[:3]) for row in pose])


def _key_patches(column: Any) -> KeyPatchArrays:
    return KeyPatchArrays(**{name: column(f"glue_key_patches_{name}") for name in KEY_PATCH_FIELDS})
