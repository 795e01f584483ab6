"""Reads LeRobot datasets, version 3.0, without LeRobot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from glue_perception.cameras.intrinsics import DEFAULT_FIELD_OF_VIEW_DEG, intrinsics_from_field_of_view
from glue_perception.errors import DatasetError
from glue_policy.data.interchange import lerobot_layout as layout
from glue_policy.data.interchange.base import (
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
from glue_policy.data.interchange.video_frames import VideoFrames


@damage_as_error
def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    """Yield the episodes of a LeRobot dataset, ours or another's.

    Raises:
        DatasetError: not such a dataset, another version, or it lacks what a bag needs.
    """
    dataset = _Dataset(path, options)
    try:
        for row in dataset.episodes():
            yield dataset.record(row)
    finally:
        dataset.close()


class _Dataset:
    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._parquet = import_package("pyarrow.parquet", layout.EXTRA)
        self._path, self._options = path, options
        self._info = self._json(layout.INFO)
        version = self._info.get("codebase_version")
        if version != layout.VERSION:
            raise DatasetError(
                f"{path} is a LeRobot dataset of version {version!r}, {layout.VERSION} is known; convert it with "
                "LeRobot's convert_dataset_v21_to_v30"
            )
        self._features: dict[str, Any] = self._info["features"]
        own = path / layout.GLUE
        self._about: list[dict[str, Any]] | None = (
            self._json(layout.GLUE)["episodes"] if own.exists() else None
        )
        self._camera = self._choose_camera()
        self._video: VideoFrames | None = None
        self._data: tuple[Path, Any] | None = None

    def episodes(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table of episodes, without their statistics."""
        files = sorted((self._path / "meta/episodes").glob("*/*.parquet"))
        if not files:
            raise DatasetError(f"{self._path} holds no table of episodes in meta/episodes")
        for file in files:
            names = [n for n in self._parquet.read_schema(file).names if not n.startswith("stats/")]
            yield from self._parquet.read_table(file, columns=names).to_pylist()

    def close(self) -> None:
        """End the decoder of the video that is open."""
        if self._video is not None:
            self._video.close()

    def record(self, row: dict[str, Any]) -> Record:
        """Return one episode."""
        number, t = int(row["episode_index"]), int(row["length"])
        where = f"{self._path}: episode {number}"
        told = self._about[number] if self._about is not None else None
        rows = self._rows(row, number)
        dt_s = self._options.dt_s(told["dt_s"] if told is not None else 1.0 / float(self._info["fps"]), where)

        def column(name: str) -> np.ndarray:
            if name not in rows.column_names:
                raise DatasetError(
                    f"{where} lacks {name}, which a bag needs; it holds {', '.join(sorted(rows.column_names))}"
                )
            return _array(rows[name])

        state = column(layout.STATE)
        if self._features[layout.STATE].get("names") != list(layout.STATE_NAMES):
            raise DatasetError(
                f"{where}: {layout.STATE} is {self._features[layout.STATE].get('names')}, but "
                f"{', '.join(layout.STATE_NAMES)} are needed; export it anew with these"
            )
        rgb = self._images(row, rows, t)
        actions = (
            ten_numbers(column(layout.ACTION), where) if self._options.own_actions else np.zeros((t, 10))
        )
        velocity = "glue.joint_velocity"
        record = Record(
            name=told["name"] if told is not None else f"episode_{number:06d}",
            stamp_ns=column("glue.stamp_ns") if told is not None else stamps_at_rate(t, dt_s),
            rgb=rgb,
            intrinsics=np.array(told["intrinsics"])
            if told is not None
            else intrinsics_from_field_of_view(rgb.shape[2], rgb.shape[1], DEFAULT_FIELD_OF_VIEW_DEG),
            joint_position_rad=state[:, :7],
            joint_velocity_rad_s=column(velocity) if velocity in rows.column_names else np.zeros((t, 7)),
            T_base_ee=layout.pose_from_columns(column("glue.ee_pose")),
            gripper_width_m=state[:, 7],
            action=actions,
            dt_s=dt_s,
            metadata=checked_metadata(told["metadata"], where)
            if told is not None
            else {"instruction": str(row["tasks"][0])},
            key_patches=self._key_patches(column, rows.column_names, t),
        )
        return record if self._options.own_actions else with_next_pose_as_action(record)

    def _key_patches(self, column: Any, names: list[str], t: int) -> KeyPatchArrays | None:
        if "glue.key_patches.row_col" not in names:
            return None
        arrays = {name: column(f"glue.key_patches.{name}").reshape(t, -1) for name in KEY_PATCH_FIELDS}
        for name in ("row_col", "xy_px"):
            arrays[name] = arrays[name].reshape(t, -1, 2)
        return KeyPatchArrays(**arrays)

    def _rows(self, row: dict[str, Any], number: int) -> Any:
        """Return an episode's part of its data file, which the next episode may share."""
        relative = self._info["data_path"].format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )
        file = self._inside(relative)
        if self._data is None or self._data[0] != file:
            self._data = (file, self._parquet.read_table(file))
        table = self._data[1]
        index = np.flatnonzero(table["episode_index"].to_numpy() == number)
        if len(index) != int(row["length"]):
            raise DatasetError(f"{file} holds {len(index)} steps of episode {number}, not {row['length']}")
        return table.slice(int(index[0]), len(index))

    def _images(self, row: dict[str, Any], rows: Any, t: int) -> np.ndarray:
        if self._features[self._camera]["dtype"] == "image":
            return np.stack([_decoded(item["bytes"]) for item in rows[self._camera].to_pylist()])
        key = f"videos/{self._camera}"
        relative = self._info["video_path"].format(
            video_key=self._camera,
            chunk_index=row[f"{key}/chunk_index"],
            file_index=row[f"{key}/file_index"],
        )
        file = self._inside(relative)
        first = round(float(row[f"{key}/from_timestamp"]) * float(self._info["fps"]))
        if self._video is None or self._video.path != file or self._video.position > first:
            self.close()
            self._video = VideoFrames(file)
        return self._video.take(first, t)

    def _choose_camera(self) -> str:
        cameras = [name for name, f in self._features.items() if f["dtype"] in ("video", "image")]
        wanted = self._options.camera
        chosen = [n for n in cameras if wanted in (None, n, n.rpartition(".")[2])]
        if len(chosen) != 1:
            raise DatasetError(
                f"{self._path} holds the cameras {', '.join(cameras) or 'none'}; "
                + ("choose one with --camera" if cameras else "a bag needs images")
            )
        return chosen[0]

    def _inside(self, relative: str) -> Path:
        """Return a file of the dataset; a path that leads out of it is refused."""
        file = (self._path / relative).resolve()
        if not file.is_relative_to(self._path.resolve()) or not file.is_file():
            raise DatasetError(f"{self._path} lacks the file {relative}; copy the dataset again")
        return file

    def _json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads((self._path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{self._path} is not a LeRobot dataset: {name} cannot be read ({error})"
            ) from error
        if not isinstance(value, dict):
            raise DatasetError(f"{self._path}: {name} does not hold a mapping")
        return value


def _array(column: Any) -> np.ndarray:
    """Return an Arrow column of numbers or of lists of equal length as an array."""
    return np.array(column.to_pylist())


def _decoded(data: bytes) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise DatasetError("an image in the dataset cannot be decoded; copy the dataset again")
    rgb: np.ndarray = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb
