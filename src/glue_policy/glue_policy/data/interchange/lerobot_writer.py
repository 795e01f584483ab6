"""Writes LeRobot datasets, version 3.0, without LeRobot."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np

from glue_perception.errors import DatasetError
from glue_policy.data.interchange import lerobot_layout as layout
from glue_policy.data.interchange.base import DatasetWriter, import_package
from glue_policy.data.interchange.record import Record
from glue_policy.data.interchange.statistics import (
    Statistics,
    channel_histogram,
    image_statistics,
    statistics_of,
)

VIDEO_QUALITY = 18
"""Constant rate factor of x264; about 40 dB on the twin's images."""


class ImageStorage(StrEnum):
    """How images are kept. VIDEO: H.264, small and lossy. PNG: exact."""

    VIDEO = "video"
    PNG = "png"


class LeRobotWriter(DatasetWriter):
    """Writes one dataset directory. Depth has no place in the format and is left out.

    Args:
        path: Must not exist.
        images: How images are kept.
    """

    def __init__(self, path: Path, images: ImageStorage = ImageStorage.VIDEO) -> None:
        self._pa = import_package("pyarrow", layout.EXTRA)
        self._parquet = import_package("pyarrow.parquet", layout.EXTRA)
        super().__init__(path)
        self._images = images
        self._features: dict[str, Any] = {}
        self._columns: dict[str, list[np.ndarray]] = {}
        self._histogram = np.zeros((3, 256), dtype=np.int64)
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._about: list[dict[str, Any]] = []
        self._total = 0
        self._fps = 0.0

    def _add(self, record: Record) -> None:
        number, t = len(self._episodes), len(record)
        task = record.metadata.get("instruction") or record.metadata.get("task") or "unknown"
        task_index = self._tasks.setdefault(task, len(self._tasks))
        self._fps = 1.0 / record.dt_s
        columns = layout.columns_of(record)
        frame = np.arange(t)
        columns |= {
            "timestamp": (frame / self._fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(t, number),
            "index": self._total + frame,
            "task_index": np.full(t, task_index),
        }
        self._note_features(columns, record)
        histogram = channel_histogram(record.rgb)
        statistics = {name: statistics_of(values) for name, values in columns.items()}
        statistics[layout.CAMERA] = image_statistics(histogram, t)
        self._histogram += histogram
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)
        self._write_data(number, columns, record)
        self._episodes.append(self._episode_row(number, t, task, statistics))
        self._about.append(
            {
                "name": record.name,
                "dt_s": record.dt_s,
                "intrinsics": record.intrinsics.tolist(),
                "metadata": record.metadata,
            }
        )
        self._total += t

    def _note_features(self, columns: dict[str, np.ndarray], record: Record) -> None:
        h, w = record.rgb.shape[1:3]
        video = self._images is ImageStorage.VIDEO
        camera: dict[str, Any] = {
            "dtype": "video" if video else "image",
            "shape": [h, w, 3],
            "names": ["height", "width", "channels"],
        }
        if video:
            camera["info"] = {
                "video.height": h,
                "video.width": w,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": _number(self._fps),
                "video.channels": 3,
                "has_audio": False,
            }
        self._features = {layout.CAMERA: camera}
        self._features |= {name: layout.feature(name, values) for name, values in columns.items()}

    def _write_data(self, number: int, columns: dict[str, np.ndarray], record: Record) -> None:
        arrays = {name: self._arrow(values) for name, values in columns.items()}
        if self._images is ImageStorage.PNG:
            images = [{"bytes": _png(rgb), "path": f"frame-{k:06d}.png"} for k, rgb in enumerate(record.rgb)]
            kind = self._pa.struct([("bytes", self._pa.binary()), ("path", self._pa.string())])
            arrays[layout.CAMERA] = self._pa.array(images, kind)
        else:
            path = self._path(layout.place(layout.VIDEO, number, video_key=layout.CAMERA))
            _write_video(path, record.rgb, self._fps)
        self._parquet.write_table(self._pa.table(arrays), self._path(layout.place(layout.DATA, number)))

    def _episode_row(
        self, number: int, t: int, task: str, statistics: dict[str, Statistics]
    ) -> dict[str, Any]:
        chunk, file = divmod(number, layout.CHUNKS_SIZE)
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": [task],
            "length": t,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._total,
            "dataset_to_index": self._total + t,
        }
        if self._images is ImageStorage.VIDEO:
            key = f"videos/{layout.CAMERA}"
            row |= {f"{key}/chunk_index": chunk, f"{key}/file_index": file}
            row |= {f"{key}/from_timestamp": 0.0, f"{key}/to_timestamp": t / self._fps}
        for name, values in statistics.items():
            row |= {f"stats/{name}/{what}": np.atleast_1d(v).tolist() for what, v in values.items()}
        return row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}

    def _finish(self) -> None:
        if not self._episodes:
            raise DatasetError("there are no demonstrations to export")
        statistics = {name: statistics_of(np.concatenate(parts)) for name, parts in self._columns.items()}
        statistics[layout.CAMERA] = image_statistics(self._histogram, self._total)
        stats = {n: {w: np.atleast_1d(v).tolist() for w, v in s.items()} for n, s in statistics.items()}
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": "franka_panda",
            "total_episodes": len(self._episodes),
            "total_frames": self._total,
            "total_tasks": len(self._tasks),
            "chunks_size": layout.CHUNKS_SIZE,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": _number(self._fps),
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": layout.DATA,
            "video_path": layout.VIDEO if self._images is ImageStorage.VIDEO else None,
            "features": self._features,
        }
        table = self._pa.Table.from_pylist(self._episodes)
        self._parquet.write_table(table, self._path(layout.place(layout.EPISODES, 0)))
        self._parquet.write_table(self._task_table(), self._path(layout.TASKS))
        for name, value in (
            (layout.INFO, info),
            (layout.STATS, stats),
            (layout.GLUE, {"episodes": self._about}),
        ):
            self._path(name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

    def _close(self) -> None:
        """Nothing stays open."""

    def _task_table(self) -> Any:
        """Return the table of tasks as pandas would write it: LeRobot looks tasks up in its index."""
        index = "__index_level_0__"
        table = self._pa.table({"task_index": list(self._tasks.values()), index: list(self._tasks)})
        told = {
            "index_columns": [index],
            "column_indexes": [
                {
                    "name": None,
                    "field_name": None,
                    "pandas_type": "unicode",
                    "numpy_type": "object",
                    "metadata": None,
                }
            ],
            "columns": [
                _pandas_column("task_index", "task_index", "int64", "int64"),
                _pandas_column(None, index, "unicode", "object"),
            ],
            "pandas_version": "2.0.0",
        }
        return table.replace_schema_metadata({b"pandas": json.dumps(told).encode()})

    def _arrow(self, values: np.ndarray) -> Any:
        if values.ndim == 1:
            return self._pa.array(values)
        flat = self._pa.array(np.ascontiguousarray(values).reshape(-1))
        return self._pa.FixedSizeListArray.from_arrays(flat, values.shape[1])

    def _path(self, relative: str) -> Path:
        path = self._partial / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _pandas_column(name: str | None, field: str, pandas: str, numpy: str) -> dict[str, Any]:
    return {"name": name, "field_name": field, "pandas_type": pandas, "numpy_type": numpy, "metadata": None}


def _png(rgb: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not done:
        raise DatasetError("an image cannot be encoded as PNG")
    return data.tobytes()


def _write_video(path: Path, rgb: np.ndarray, fps: float) -> None:
    height, width = rgb.shape[1:3]
    if height % 2 or width % 2:
        raise DatasetError(f"H.264 needs even sizes, the images are {width} x {height} px; give --images png")
    # No B-frames and a key frame at every second one: readers fetch single frames by their time.
    options = ["-preset", "medium", "-crf", str(VIDEO_QUALITY), "-g", "2", "-bf", "0"]
    sink = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        output_params=options,
        ffmpeg_log_level="error",
    )
    sink.send(None)
    for image in rgb:
        sink.send(np.ascontiguousarray(image).tobytes())
    sink.close()


def _number(value: float) -> float | int:
    """Return an integer where it is one: LeRobot counts frames per second in integers."""
    return round(value) if abs(value - round(value)) < 1e-6 else value
