"""Finishes a bag whose recorder was killed: in place, with everything that reached the file.

What stands in the file is not copied. Its end, cut off in the middle of a record, moves to a file beside it, and the
summary and the metadata.yaml that the recorder did not get to write are written from what is there. A repair that is
itself killed is done again by the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Header, MessageIndex, Metadata, MetadataIndex, Schema

from glue_perception.bags import metadata_yaml
from glue_perception.bags.mcap_chunk import CHUNK_HEAD, MAX_CHUNK_BYTES, RECORD_HEAD, ChunkError, records
from glue_perception.bags.mcap_file import MAX_RECORD_BYTES, MESSAGE_HEAD
from glue_perception.bags.mcap_writer import MAGIC, McapWriter, Written, record_bytes
from glue_perception.bags.writer import LIBRARY, METADATA_RECORD, information_of
from glue_perception.errors import BagError
from glue_perception.timing import NS_PER_S

UNFINISHED = "unfinished"
"""Outcome of an episode whose recorder was killed before it was told one."""


@dataclass(frozen=True)
class Repair:
    """What a repair found and did.

    Attributes:
        path: The bag.
        messages: How many it holds now.
        duration_s: From the first to the last.
        cut_bytes: Size of the end that was no whole record.
        cut_file: Where that end is kept now; empty if there was none.
    """

    path: Path
    messages: int
    duration_s: float
    cut_bytes: int
    cut_file: str


@dataclass
class _Found:
    """What a scan found: the content, and where the last whole record that stays ends."""

    end: int
    writer: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    written: Written = field(default_factory=lambda: Written([], [], [], [], {}, 0, 0))
    late_indexes: list[MessageIndex] = field(default_factory=list)


def is_finished(path: Path) -> bool:
    """Return whether a bag's recorder (or a repair) finished it."""
    return (path / metadata_yaml.FILE_NAME).exists()


def repair_bag(path: Path) -> Repair | None:
    """Finish a bag that was not; return what was done, or None if there was nothing to do.

    Its outcome becomes `unfinished`, and `repaired` in its metadata says what was cut.

    Raises:
        BagError: it is still being recorded, was recorded by another program, holds nothing yet, or is damaged
            otherwise than by being cut off; it is left as it was.
    """
    if is_finished(path):
        return None
    files = sorted(path.glob("*.mcap"))
    if len(files) != 1:
        raise BagError(
            f"{path} cannot be repaired: it holds {len(files)} .mcap files, a recorder of ours makes one"
        )
    try:
        with files[0].open("r+b") as file:
            _lock(file, path)
            if is_finished(path):
                return None  # its recorder finished it while this process waited
            return _repair(path, file)
    except OSError as error:
        raise BagError(f"cannot repair {path}: {error.strerror or error}; is the disk full?") from error


def is_being_recorded(path: Path) -> bool:
    """Return whether a recorder has the bag open now."""
    for name in path.glob("*.mcap"):
        with suppress(OSError), name.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BagError(f"{path} is being recorded now; wait until its recorder has finished it") from None


def _repair(path: Path, file: IO[bytes]) -> Repair:
    size = os.fstat(file.fileno()).st_size
    found = _scan(path, file, size)
    if found.writer != LIBRARY:
        raise BagError(
            f"{path} was recorded by another program ({found.writer[:40]!r}) and is not changed; finish it with "
            "`ros2 bag reindex`"
        )
    cut_bytes, cut_file = _keep_end(file, found.end, size)
    file.seek(found.end)
    file.truncate()
    for index in found.late_indexes:
        file.write(record_bytes(index))
    written = found.written
    metadata = {"outcome": UNFINISHED, **found.metadata}
    metadata["repaired"] = json.dumps({"cut_bytes": cut_bytes, "cut_file": cut_file})
    topics = {c.topic: written.counts.get(c.id, 0) for c in written.channels}
    information = information_of(Path(file.name).name, topics, written.start_ns, written.end_ns, metadata)
    writer = McapWriter.resume(file, written)
    writer.add_metadata(METADATA_RECORD, metadata)
    writer.add_metadata("rosbag2", {"serialized_metadata": metadata_yaml.dump(information)})
    writer.close()
    metadata_yaml.write(path, information)
    duration_s = (written.end_ns - written.start_ns) / NS_PER_S
    return Repair(path, sum(written.counts.values()), duration_s, cut_bytes, cut_file)


def _keep_end(file: IO[bytes], end: int, size: int) -> tuple[int, str]:
    """Copy what will be cut to a file beside the bag's; what a summary says can be written again and is not kept."""
    file.seek(end)
    if size == end or file.read(1)[0] in (Opcode.DATA_END, Opcode.FOOTER):
        return 0, ""
    number = 0
    base = Path(file.name)
    while (place := base.with_name(f"{base.name}.cut_off_{number}")).exists():
        number += 1
    file.seek(end)
    with place.open("xb") as copy:
        while part := file.read(1 << 20):
            copy.write(part)
        copy.flush()
        os.fsync(copy.fileno())
    return size - end, place.name


def _scan(path: Path, file: IO[bytes], size: int) -> _Found:
    """Read record by record up to the summary or the first one that is not whole."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BagError(f"{path} holds nothing that could be repaired: it was cut off before its first record")
    found = _Found(len(MAGIC))
    position = len(MAGIC)
    while position + RECORD_HEAD.size <= size:
        file.seek(position)
        opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size))
        after = position + RECORD_HEAD.size + length
        if opcode in (0, Opcode.DATA_END, Opcode.FOOTER) or after > size:
            break
        if length > max(MAX_CHUNK_BYTES, MAX_RECORD_BYTES):
            raise BagError(f"{path} is damaged at byte {position}: a record of {length} bytes")
        body = file.read(length)
        try:
            if opcode == Opcode.CHUNK:
                _add_chunk(found, position, after, body)
            elif opcode != Opcode.MESSAGE_INDEX:
                _add_record(found, opcode, position, after, body)
            else:
                _add_index(found, position, after, body)
        except (ChunkError, McapError, struct.error, UnicodeDecodeError):
            break
        found.end = position = after
    _complete_last_chunk(found)
    return found


def _add_record(found: _Found, opcode: int, position: int, after: int, body: bytes) -> None:
    stream = ReadDataStream(BytesIO(body))
    if opcode == Opcode.HEADER:
        _, found.writer = astuple(Header.read(stream))
    elif opcode == Opcode.SCHEMA:
        found.written.schemas.append(Schema.read(stream))
    elif opcode == Opcode.CHANNEL:
        found.written.channels.append(Channel.read(stream))
    elif opcode == Opcode.METADATA:
        record = Metadata.read(stream)
        found.written.metadata_indexes.append(MetadataIndex(position, after - position, record.name))
        if record.name == METADATA_RECORD:
            found.metadata = dict(record.metadata)


def _add_chunk(found: _Found, position: int, after: int, body: bytes) -> None:
    start_ns, end_ns, raw_size, _, name_size = CHUNK_HEAD.unpack_from(body)
    head_size = CHUNK_HEAD.size + name_size + 8
    indexes: dict[int, list[tuple[int, int]]] = {}
    offset = 0
    # Every chunk is opened, not only the last: a whole one whose content is damaged must not be called repaired.
    for opcode, record in records(memoryview(body)):
        if opcode == Opcode.MESSAGE:
            channel_id, _, log_ns, _ = MESSAGE_HEAD.unpack_from(record)
            indexes.setdefault(channel_id, []).append((log_ns, offset))
        offset += RECORD_HEAD.size + len(record)
    if found.late_indexes:
        raise ChunkError("a chunk lacks indexes that its writer always writes")
    written = found.written
    for channel_id, entries in indexes.items():
        written.counts[channel_id] = written.counts.get(channel_id, 0) + len(entries)
    written.start_ns = min(written.start_ns, start_ns) if written.chunk_indexes else start_ns
    written.end_ns = max(written.end_ns, end_ns)
    written.chunk_indexes.append(
        ChunkIndex(
            chunk_length=after - position,
            chunk_start_offset=position,
            compression="zstd",
            compressed_size=len(body) - head_size,
            message_end_time=end_ns,
            message_index_length=0,
            message_index_offsets={},
            message_start_time=start_ns,
            uncompressed_size=raw_size,
        )
    )
    found.late_indexes = [MessageIndex(channel_id, entries) for channel_id, entries in indexes.items()]


def _add_index(found: _Found, position: int, after: int, body: bytes) -> None:
    """Note where an index of the last chunk stands; it need not be written again."""
    (channel_id,) = struct.unpack_from("<H", body)
    if not found.written.chunk_indexes:
        raise ChunkError("an index without a chunk")
    chunk = found.written.chunk_indexes[-1]
    chunk.message_index_offsets[channel_id] = position
    chunk.message_index_length += after - position
    found.late_indexes = [index for index in found.late_indexes if index.channel_id != channel_id]


def _complete_last_chunk(found: _Found) -> None:
    """Say where the indexes that are still to be written will stand: right after what there is."""
    if not found.late_indexes:
        return
    chunk = found.written.chunk_indexes[-1]
    position = found.end
    for index in found.late_indexes:
        size = len(record_bytes(index))
        chunk.message_index_offsets[index.channel_id] = position
        chunk.message_index_length += size
        position += size
