"""Writes one MCAP file chunk by chunk, so that a killed writer leaves a readable prefix.

The mcap package's own writer has one chunk at a time and one compression level. Here images have chunks of
their own, so that robot states are read without decompressing images, and zstd runs at a fast level: on real video
of 640 x 480 at 30 Hz it costs a quarter of the default level's time for files that are a quarter larger.
"""

from __future__ import annotations

import fcntl
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from glue_perception.timing import NS_PER_S

MAGIC = b"\x89MCAP0\r\n"
COMPRESSION_LEVEL = -5
BULK_CHUNK_BYTES = 768 * 1024
"""One image of 640 x 480 fills a chunk: at most one image is lost when the writer is killed."""

BULK_CHUNK_NS = NS_PER_S // 3
"""At most a third of a second of images is lost, however small they are."""

SMALL_CHUNK_BYTES = 256 * 1024
SMALL_CHUNK_NS = NS_PER_S // 5
"""At most 0.2 s of small messages is lost when the writer is killed."""


class Stream(Enum):
    """Which chunk a message goes into: images and the like, or all that is small."""

    BULK = "bulk"
    SMALL = "small"


class _OpenChunk:
    """A chunk that is being filled."""

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.size = 0
        self.start_ns = 0
        self.end_ns = 0
        self.index: dict[int, list[tuple[int, int]]] = {}

    def add(
        self, channel_id: int, sequence: int, log_ns: int, publish_ns: int, data: bytes | memoryview
    ) -> None:
        head = struct.pack(
            "<BQHIQQ", Opcode.MESSAGE, 22 + len(data), channel_id, sequence & 0xFFFFFFFF, log_ns, publish_ns
        )
        self.start_ns = min(self.start_ns, log_ns) if self.parts else log_ns
        self.end_ns = max(self.end_ns, log_ns)
        self.index.setdefault(channel_id, []).append((log_ns, self.size))
        self.parts += [head, data]
        self.size += len(head) + len(data)


@dataclass
class Written:
    """What stands in a file already: what its summary will say.

    Attributes:
        schemas: In the order of writing.
        channels: In the order of writing.
        chunk_indexes: One per chunk.
        metadata_indexes: One per metadata record.
        counts: Channel id -> messages.
        start_ns: Lowest log time.
        end_ns: Highest log time.
    """

    schemas: list[Schema]
    channels: list[Channel]
    chunk_indexes: list[ChunkIndex]
    metadata_indexes: list[MetadataIndex]
    counts: dict[int, int]
    start_ns: int
    end_ns: int


OpenFile = Callable[[Path], IO[bytes]]


def create_file(path: Path) -> IO[bytes]:
    """Return a new file for writing, locked for as long as it is open, so that no other process repairs it.

    The kernel frees the lock of a process that is killed.

    Raises:
        OSError: the file exists or cannot be made.
    """
    file = path.open("xb")
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


class McapWriter:
    """One MCAP file of profile ros2. One thread.

    Args:
        path: Must not exist.
        library: Who writes, for the file's header.
        open_file: Makes the file; another one than `create_file` to write elsewhere than to a disk.

    Raises:
        OSError: the file exists or cannot be written; so do all methods.
    """

    def __init__(self, path: Path, library: str, open_file: OpenFile = create_file) -> None:
        self._begin(open_file(path))
        self._file.write(MAGIC)
        self._write(Header(profile="ros2", library=library))

    @classmethod
    def resume(cls, file: IO[bytes], written: Written) -> McapWriter:
        """Return a writer that goes on at the end of an unfinished file.

        Args:
            file: Open for writing, at the end of its last whole record.
            written: What it holds.
        """
        writer = cls.__new__(cls)
        writer._begin(file)
        writer._schemas, writer._channels = written.schemas, written.channels
        writer._chunk_indexes, writer._metadata_indexes = written.chunk_indexes, written.metadata_indexes
        writer._counts.update(written.counts)
        writer._start_ns, writer._end_ns = written.start_ns, written.end_ns
        writer._sequence = sum(written.counts.values())
        return writer

    def _begin(self, file: IO[bytes]) -> None:
        self._file = file
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._open_chunks: dict[Stream, _OpenChunk] = {stream: _OpenChunk() for stream in Stream}
        self._leaving: _OpenChunk | None = None
        self._chunk_indexes: list[ChunkIndex] = []
        self._metadata_indexes: list[MetadataIndex] = []
        self._counts: dict[int, int] = defaultdict(int)
        self._start_ns = 0
        self._end_ns = 0
        self._sequence = 0
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_content_size=True)

    def add_metadata(self, name: str, data: dict[str, str]) -> None:
        """Write a metadata record at once."""
        offset = self._file.tell()
        self._write(Metadata(name=name, metadata=data))
        self._file.flush()
        self._metadata_indexes.append(MetadataIndex(offset, self._file.tell() - offset, name))

    def add_channel(self, topic: str, message_type: str, definition: str, metadata: dict[str, str]) -> int:
        """Announce a topic of ros2msg-defined CDR messages and return its id."""
        known = next((s for s in self._schemas if s.name == message_type), None)
        if known is None:
            known = Schema(len(self._schemas) + 1, definition.encode(), "ros2msg", message_type)
            self._schemas.append(known)
            self._write(known)
        channel = Channel(len(self._channels) + 1, topic, "cdr", metadata, known.id)
        self._channels.append(channel)
        self._write(channel)
        return len(self._channels)

    def add_message(
        self, stream: Stream, channel_id: int, log_ns: int, publish_ns: int, data: bytes | memoryview
    ) -> None:
        """Add a message; a full chunk is compressed and written before this returns.

        Args:
            stream: Where it goes.
            channel_id: From `add_channel`.
            log_ns: Time by which readers order messages.
            publish_ns: The message's own stamp.
            data: CDR; kept until its chunk is written, so it must not change.
        """
        self._start_ns = min(self._start_ns, log_ns) if self._sequence else log_ns
        self._end_ns = max(self._end_ns, log_ns)
        self._counts[channel_id] += 1
        chunk = self._open_chunks[stream]
        # Counted over the whole file, so that messages of equal time keep their order across chunks.
        chunk.add(channel_id, self._sequence, log_ns, publish_ns, data)
        self._sequence += 1
        for due, max_bytes, max_ns in (
            (Stream.BULK, BULK_CHUNK_BYTES, BULK_CHUNK_NS),
            (Stream.SMALL, SMALL_CHUNK_BYTES, SMALL_CHUNK_NS),
        ):
            waiting = self._open_chunks[due]
            if waiting.size >= max_bytes or (waiting.parts and log_ns - waiting.start_ns >= max_ns):
                self._close_chunk(due)

    def written_counts(self) -> dict[int, int]:
        """Return channel id -> messages that are in the file, without those that still wait to fill a chunk."""
        counts = dict(self._counts)
        waiting = [*self._open_chunks.values(), *([self._leaving] if self._leaving else [])]
        for chunk in waiting:
            for channel_id, entries in chunk.index.items():
                counts[channel_id] -= len(entries)
        return counts

    def close(self) -> None:
        """Write what is left and the summary, and close the file."""
        try:
            for stream in Stream:
                self._close_chunk(stream)
            self._write(DataEnd(0))
            self._write_summary()
            self._file.flush()
        finally:
            self._file.close()

    def abort(self) -> None:
        """Close the file after a failure; what was written stays readable."""
        with suppress(OSError):
            self._file.close()

    def _close_chunk(self, stream: Stream) -> None:
        chunk = self._open_chunks[stream]
        if not chunk.parts:
            return
        self._open_chunks[stream], self._leaving = _OpenChunk(), chunk
        raw = b"".join(chunk.parts)
        packed = self._compressor.compress(raw)
        body = struct.pack("<QQQI", chunk.start_ns, chunk.end_ns, len(raw), zlib.crc32(raw))
        body += struct.pack("<I4sQ", 4, b"zstd", len(packed))
        offset = self._file.tell()
        self._file.write(struct.pack("<BQ", Opcode.CHUNK, len(body) + len(packed)) + body)
        self._file.write(packed)
        self._file.flush()
        self._leaving = None  # from here on it can be read, with its indexes or without
        index_offset = self._file.tell()
        offsets = {}
        for channel_id, entries in chunk.index.items():
            offsets[channel_id] = self._file.tell()
            self._write(MessageIndex(channel_id, entries))
        self._file.flush()
        self._chunk_indexes.append(
            ChunkIndex(
                chunk_length=index_offset - offset,
                chunk_start_offset=offset,
                compression="zstd",
                compressed_size=len(packed),
                message_end_time=chunk.end_ns,
                message_index_length=self._file.tell() - index_offset,
                message_index_offsets=offsets,
                message_start_time=chunk.start_ns,
                uncompressed_size=len(raw),
            )
        )

    def _write_summary(self) -> None:
        summary_start = self._file.tell()
        groups: list[tuple[Opcode, list[McapRecord]]] = [
            (Opcode.SCHEMA, list(self._schemas)),
            (Opcode.CHANNEL, list(self._channels)),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, list(self._chunk_indexes)),
            (Opcode.METADATA_INDEX, list(self._metadata_indexes)),
        ]
        summary = b""
        offsets: list[SummaryOffset] = []
        for opcode, records in groups:
            group = b"".join(record_bytes(record) for record in records)
            if group:
                offsets.append(SummaryOffset(opcode, summary_start + len(summary), len(group)))
            summary += group
        offset_start = summary_start + len(summary)
        summary += b"".join(record_bytes(offset) for offset in offsets)
        # The checksum covers the footer's own beginning as well.
        tail = struct.pack("<BQQQ", Opcode.FOOTER, 20, summary_start, offset_start)
        self._file.write(summary)
        self._write(Footer(summary_start, offset_start, zlib.crc32(summary + tail)))
        self._file.write(MAGIC)

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(self._counts),
            chunk_count=len(self._chunk_indexes),
            message_count=self._sequence,
            metadata_count=len(self._metadata_indexes),
            message_start_time=self._start_ns,
            message_end_time=self._end_ns,
            schema_count=len(self._schemas),
        )

    def _write(self, record: McapRecord) -> None:
        self._file.write(record_bytes(record))


def record_bytes(record: McapRecord) -> bytes:
    """Return a record as it lies in a file."""
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())
