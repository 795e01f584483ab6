"""The definitions of all messages in a bag: ROS 2 Jazzy's own and those of glue_msgs, without ROS.

The text of glue_msgs has one source, the package's `msg` folder; `bags/msg` links to it, and an installed wheel
carries a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from glue_perception.errors import BagError

DEFINITIONS_DIR = Path(__file__).parent / "msg"
MAX_SEQUENCE_LENGTH = 1 << 27
"""No field of ours holds more elements; a forged length beyond it is refused before anything is allocated."""

MAX_SCHEMA_BYTES = 1 << 18


ADDED_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "glue_msgs/msg/ActionChunk": {"frozen": 0},
    "glue_msgs/msg/RobotState": {"external_wrench": np.zeros(0)},
}
"""Fields that earlier versions did not record, and what they stand for in such bags. Nothing recorded is ever lost:
whoever adds a field to a message that is recorded names it here."""

Buffer = bytes | memoryview


@cache
def typestore() -> Typestore:
    """Return the definitions of Jazzy's messages and of glue_msgs."""
    store = _jazzy()
    parsed: dict[str, Any] = {}
    for file in sorted(DEFINITIONS_DIR.glob("*.msg")):
        parsed.update(get_types_from_msg(file.read_text(encoding="utf-8"), f"glue_msgs/msg/{file.stem}"))
    store.register(parsed)
    return store


def _jazzy() -> Typestore:
    store = get_typestore(Stores.ROS2_JAZZY)
    store.max_sequence_length = MAX_SEQUENCE_LENGTH
    return store


@cache
def definition(message_type: str) -> str:
    """Return the full text of a message type with all types it is made of, as rosbag2 stores it."""
    text: str = typestore().generate_msgdef(message_type, ros_version=2)[0]
    return text


@cache
def type_hash(message_type: str) -> str:
    """Return the hash by which ROS 2 compares types (REP 2016)."""
    return str(typestore().hash_rihs01(message_type))


@cache
def prepare(message_type: str) -> None:
    """Make ready what the first message of a type needs, which takes tenths of a second, before time counts."""
    definition(message_type)
    type_hash(message_type)
    typestore().get_msgdef(message_type)


@cache
def message_class(message_type: str) -> Any:
    """Return the class of the messages of a type; its fields are named as in the definition."""
    return typestore().types[message_type]


def decoder_for(message_type: str, encoding: str, text: bytes, source: str) -> Callable[[Buffer], Any]:
    """Return what makes messages of ours from the bytes in a bag that carries a certain definition.

    Only ros2msg text is compared; a bag with IDL text, or none, is taken at its type's name. A bag of an earlier
    version, whose messages lack fields that were added since (`ADDED_FIELDS`), is read with what those fields meant
    before they were there.

    Args:
        message_type: Such as sensor_msgs/msg/Image.
        encoding: Of the schema, ros2msg or another.
        text: The definition as the bag holds it.
        source: The bag, for messages.

    Raises:
        BagError: the fields differ otherwise, so that the bag's messages would be misread.
    """
    if encoding != "ros2msg":
        return _Decoder(message_type)
    if len(text) > MAX_SCHEMA_BYTES:
        raise BagError(
            f"{source}: the schema of {message_type} is {len(text)} bytes long; the file is damaged"
        )
    found = _fields(message_type, text.decode("utf-8", errors="replace"))
    missing = frozenset(
        name
        for name in ADDED_FIELDS.get(message_type, {})
        if name not in {field for _, field in found[_short(message_type)]}
    )
    for name, fields in _fields(message_type, definition(message_type)).items():
        expected = fields
        if name == _short(message_type):
            expected = [field for field in fields if field[1] not in missing]
        if found.get(name) != expected:
            raise BagError(
                f"{source}: the bag's definition of {name} differs from the one known here "
                f"({_words(found.get(name))} against {_words(fields)}); read the bag with the version that wrote it"
            )
    return _Decoder(message_type, missing)


class _Decoder:
    """Makes messages of a type from bytes in which some of its fields are missing."""

    def __init__(self, message_type: str, missing: frozenset[str] = frozenset()) -> None:
        self._type = message_type
        self._added = {name: ADDED_FIELDS[message_type][name] for name in missing}
        self._store = _typestore_without(message_type, missing) if missing else typestore()

    def __call__(self, data: Buffer) -> Any:
        message = self._store.deserialize_cdr(data, self._type)
        if not self._added:
            return message
        _, fields = self._store.fielddefs[self._type]
        return message_class(self._type)(
            **{name: getattr(message, name) for name, _ in fields}, **self._added
        )


@cache
def _typestore_without(message_type: str, missing: frozenset[str]) -> Typestore:
    """Return our definitions with some fields of one type left out."""
    store = _jazzy()
    parsed = {name: fields for name, fields in typestore().fielddefs.items() if name.startswith("glue_msgs/")}
    constants, fields = parsed[message_type]
    parsed[message_type] = (constants, [field for field in fields if field[0] not in missing])
    store.register(parsed)
    return store


def _words(fields: list[tuple[str, str]] | None) -> str:
    return "; ".join(f"{kind} {name}" for kind, name in fields)[:200] if fields is not None else "none"


def _fields(message_type: str, text: str) -> dict[str, list[tuple[str, str]]]:
    """Return type -> (field type, field name) of a concatenated definition; constants and comments left out."""
    result: dict[str, list[tuple[str, str]]] = {}
    name = _short(message_type)
    fields = result.setdefault(name, [])
    for line in text.splitlines():
        if line.startswith("MSG: "):
            name = _short(line[5:].strip())
            fields = result.setdefault(name, [])
            continue
        words = line.split("#", 1)[0].split()
        if len(words) < 2 or "=" in words[1] or words[2:3] == ["="]:
            continue
        fields.append((_qualified(words[0], name), words[1]))
    return result


def _short(name: str) -> str:
    return name.replace("/msg/", "/")


def _qualified(kind: str, owner: str) -> str:
    base, bracket, rest = kind.partition("[")
    base = _short(base)
    if base == "Header":
        base = "std_msgs/Header"
    elif "/" not in base and base[:1].isupper():
        base = f"{owner.split('/')[0]}/{base}"
    return base + bracket + rest
