"""rosbag2's metadata.yaml, version 9 as ROS 2 Jazzy writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from glue_perception.errors import BagError

FILE_NAME = "metadata.yaml"
MAX_BYTES = 1 << 20
MAX_BRACKETS = 10_000
"""The YAML parser's time grows with the square of nested brackets; this many take 0.1 s."""

FOREVER = {"sec": 9223372036, "nsec": 854775807}
QOS = {
    "history": "keep_last",
    "depth": 10,
    "reliability": "reliable",
    "durability": "volatile",
    "deadline": FOREVER,
    "lifespan": FOREVER,
    "liveliness": "automatic",
    "liveliness_lease_duration": FOREVER,
    "avoid_ros_namespace_conventions": False,
}
"""ROS 2's defaults; `ros2 bag play` publishes with them, which suits subscribers of either reliability."""


@dataclass(frozen=True)
class TopicRecord:
    """One topic of a finished bag."""

    name: str
    message_type: str
    type_hash: str
    count: int


@dataclass(frozen=True)
class BagFiles:
    """What the reader takes from metadata.yaml.

    Attributes:
        file_names: The MCAP files in order of time, in the bag's directory.
        custom_data: The recorder's own keys.
    """

    file_names: tuple[str, ...]
    custom_data: dict[str, str]


_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _PlainDumper(_SafeDumper):  # type: ignore[misc]
    """Writes repeated values out instead of linking them, as yaml-cpp's readers expect of rosbag2."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(value: Any) -> str:
    """Return YAML in the given order of keys."""
    return yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)


@cache
def qos_text() -> str:
    """Return the offered QoS as rosbag2 puts it into an MCAP channel."""
    return dump([QOS])


def bag_information(
    file_name: str, topics: list[TopicRecord], start_ns: int, end_ns: int, custom_data: dict[str, str]
) -> dict[str, Any]:
    """Return the content of metadata.yaml for a bag of one MCAP file."""
    count = sum(topic.count for topic in topics)
    start = {"nanoseconds_since_epoch": start_ns}
    duration = {"nanoseconds": end_ns - start_ns}
    return {
        "version": 9,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": start,
        "message_count": count,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.message_type,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [QOS],
                    "type_description_hash": topic.type_hash,
                },
                "message_count": topic.count,
            }
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file_name],
        "files": [{"path": file_name, "starting_time": start, "duration": duration, "message_count": count}],
        "custom_data": custom_data,
        "ros_distro": "jazzy",
    }


def read(directory: Path) -> BagFiles | None:
    """Return what metadata.yaml says, or None where there is none.

    Raises:
        BagError: it is damaged, or the bag is stored in a way that cannot be read here.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return None
    information = _information(path)
    storage = _text(information.get("storage_identifier"), path)
    if storage != "mcap":
        raise BagError(
            f"{directory} is stored as {storage[:40]!r}, but only mcap can be read; convert it with "
            "`ros2 bag convert` to storage_id mcap"
        )
    if mode := _text(information.get("compression_mode"), path):
        raise BagError(
            f"{directory} is compressed by rosbag2 ({mode[:20]} mode); convert it with "
            "`ros2 bag convert` to plain mcap, whose chunks are compressed anyway"
        )
    names = information.get("relative_file_paths")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise BagError(f"{path} names no files; write it anew with `ros2 bag reindex {directory}`")
    for name in names:
        if Path(name).name != name:
            raise BagError(f"{path} names {name[:80]!r}, which is not a file of the bag's own directory")
        if not (directory / name).is_file():
            raise BagError(f"{directory} lacks its file {name}; copy the bag again")
    custom = information.get("custom_data") or {}
    if not isinstance(custom, dict):
        raise BagError(f"{path}: custom_data must be a mapping, found {type(custom).__name__}")
    return BagFiles(tuple(names), {_text(k, path): _text(v, path) for k, v in custom.items()})


def write(directory: Path, information: dict[str, Any]) -> None:
    """Write metadata.yaml in one step: whoever reads sees the old one or the new one.

    Raises:
        OSError: it cannot be written; an old one is still there.
    """
    unfinished = directory / f".{FILE_NAME}"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(dump({"rosbag2_bagfile_information": information}))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(directory / FILE_NAME)


def update_custom_data(directory: Path, changes: Mapping[str, str]) -> None:
    """Add or replace keys of a finished bag's custom data; the MCAP file itself stays as it is.

    Raises:
        BagError: the bag is not finished, its metadata.yaml is damaged, or it cannot be written.
    """
    found = read(directory)
    if found is None:
        raise BagError(f"{directory} has no {FILE_NAME}: its recording was not finished; repair it first")
    information = _information(directory / FILE_NAME)
    information["custom_data"] = {**found.custom_data, **changes}
    try:
        write(directory, information)
    except OSError as error:
        raise BagError(f"cannot write {directory / FILE_NAME}: {error.strerror or error}") from error


def _text(value: object, path: Path) -> str:
    """Return a scalar as text; anything else would let a few lines of YAML grow without bound."""
    if value is None:
        return ""
    if not isinstance(value, (str, int, float)):
        raise BagError(f"{path} holds a {type(value).__name__} where text is expected; the file is damaged")
    return str(value)


def _load(text: bytes) -> Any:
    """Return what `yaml.safe_load` does; with the C parser, where PyYAML has it, ten times faster."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _information(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BagError(f"{path} is larger than {MAX_BYTES >> 20} MiB; it is not a bag's metadata")
        text = path.read_bytes()
        if text.count(b"[") + text.count(b"{") > MAX_BRACKETS:
            raise BagError(f"{path} is damaged: it holds more brackets than any bag's metadata")
        data = _load(text)
    except OSError as error:
        raise BagError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BagError(f"{path} is damaged ({reason}); delete it to read the MCAP files alone") from error
    information = data.get("rosbag2_bagfile_information") if isinstance(data, dict) else None
    if not isinstance(information, dict):
        raise BagError(f"{path} is not rosbag2 metadata; delete it to read the MCAP files alone")
    return information
