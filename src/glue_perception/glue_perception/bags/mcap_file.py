"""Reads one MCAP file that may be damaged, unfinished or forged.

The file is scanned once, record by record, skipping the chunks' contents; its own summary is not relied on, so a
file that ends in the middle reads as far as it goes. Every length is compared with the file's before it is used,
and a chunk's checksum is checked.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Header, Metadata, Schema

from glue_perception.bags.mcap_chunk import CHUNK_HEAD, MAX_CHUNK_BYTES, RECORD_HEAD, ChunkError, records
from glue_perception.bags.mcap_writer import MAGIC
from glue_perception.errors import BagError

MAX_RECORD_BYTES = 1 << 22
"""Of records other than chunks and messages, which are all small."""

MAX_WAITING_BYTES = 1 << 29
"""Of messages held back to be ordered; a recorder's chunks overlap by a second at most."""

MESSAGE_HEAD = struct.Struct("<HIQQ")


class RawMessage(NamedTuple):
    """One message, not decoded."""

    log_ns: int
    sequence: int
    channel_id: int
    data: memoryview


@dataclass(frozen=True)
class Extent:
    """A part of the file that holds messages: a chunk, or a message outside of chunks.

    Attributes:
        offset: Of the record's body.
        size: Of the record's body.
        start_ns: Lowest log time in it.
        end_ns: Highest log time in it.
        opcode: CHUNK or MESSAGE.
        counts: Messages by channel, or None where the file does not say.
    """

    offset: int
    size: int
    start_ns: int
    end_ns: int
    opcode: int
    counts: dict[int, int] | None


@dataclass
class _Scan:
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    extents: list[Extent] = field(default_factory=list)


class McapFile:
    """One open file. One thread; use as a context manager or call `close`.

    Args:
        path: The .mcap file.

    Attributes:
        complete: Whether the file was finished by its writer.

    Raises:
        BagError: not an MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = False
        try:
            self._file = path.open("rb")
            self._size = path.stat().st_size
        except OSError as error:
            raise BagError(f"cannot read {path}: {error.strerror}") from error
        self._scan = _Scan()
        try:
            self._scan_file()
            self._learn_channels()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def channels(self) -> dict[int, Channel]:
        """Channels by id."""
        return self._scan.channels

    @property
    def schemas(self) -> dict[int, Schema]:
        """Schemas by id."""
        return self._scan.schemas

    @property
    def metadata(self) -> dict[str, dict[str, str]]:
        """Metadata records by name; of several of one name, the last."""
        return self._scan.metadata

    def counts(self) -> dict[int, int]:
        """Return channel id -> number of messages.

        Raises:
            BagError: a chunk without an index is damaged.
        """
        total: dict[int, int] = {}
        for extent in self._scan.extents:
            for channel_id, count in self._counts_of(extent).items():
                total[channel_id] = total.get(channel_id, 0) + count
        return total

    def span_ns(self) -> tuple[int, int] | None:
        """Return the lowest and the highest log time, or None of a file without messages."""
        extents = self._scan.extents
        return (min(e.start_ns for e in extents), max(e.end_ns for e in extents)) if extents else None

    def messages(self, channel_ids: set[int]) -> Iterator[RawMessage]:
        """Yield the messages of some channels by log time; of equal times, in the order of writing.

        Raises:
            BagError: a chunk is damaged.
        """
        extents = [e for e in self._scan.extents if e.counts is None or channel_ids & e.counts.keys()]
        extents.sort(key=lambda e: e.start_ns)
        waiting: list[tuple[int, int, int, RawMessage]] = []
        order = waiting_bytes = 0
        for extent in extents:
            while waiting and waiting[0][0] < extent.start_ns:
                waiting_bytes -= len(waiting[0][3].data)
                yield heapq.heappop(waiting)[3]
            for message in self._messages_of(extent):
                if message.channel_id in channel_ids:
                    heapq.heappush(waiting, (message.log_ns, message.sequence, order, message))
                    order += 1
                    waiting_bytes += len(message.data)
                    if waiting_bytes > MAX_WAITING_BYTES:
                        raise self._damaged("its chunks overlap in time more than any recorder's")
        while waiting:
            yield heapq.heappop(waiting)[3]

    def _damaged(self, what: str) -> BagError:
        return BagError(f"{self.path} is damaged: {what}; copy the bag again or record it anew")

    def _scan_file(self) -> None:
        if self._size == 0:
            raise BagError(f"{self.path} is empty; its recording was cut off before it began")
        if self._file.read(len(MAGIC)) != MAGIC:
            raise BagError(f"{self.path} is not an MCAP file: it does not begin with MCAP's magic bytes")
        position = len(MAGIC)
        while position + RECORD_HEAD.size <= self._size:
            self._file.seek(position)
            opcode, size = RECORD_HEAD.unpack(self._file.read(RECORD_HEAD.size))
            position += RECORD_HEAD.size
            if opcode == 0:
                raise self._damaged(f"no record begins at byte {position - RECORD_HEAD.size}")
            if size > self._size - position:
                return  # cut off in the middle of a record
            self._scan_record(opcode, position, size)
            position += size
            if opcode == Opcode.FOOTER:
                self._file.seek(position)
                self.complete = self._file.read(len(MAGIC)) == MAGIC
                return

    def _learn_channels(self) -> None:
        """Look into chunks for channels that were announced nowhere else: the file has no summary."""
        extents = self._scan.extents
        if extents and not self.complete and extents[-1].opcode == Opcode.CHUNK:
            # The last chunk's indexes may have been cut off between two of its channels.
            extents[-1] = replace(extents[-1], counts=None)
        for extent in extents:
            if extent.counts is None or extent.counts.keys() - self.channels.keys():
                for _ in self._messages_of(extent):
                    pass

    def _scan_record(self, opcode: int, position: int, size: int) -> None:
        if opcode in (Opcode.CHUNK, Opcode.MESSAGE) and size > MAX_CHUNK_BYTES:
            raise self._damaged(f"a record of {size} bytes; {MAX_CHUNK_BYTES} are the most")
        if opcode == Opcode.CHUNK:
            start_ns, end_ns = self._unpack(CHUNK_HEAD, position, size)[:2]
            self._scan.extents.append(Extent(position, size, start_ns, end_ns, opcode, None))
        elif opcode == Opcode.MESSAGE:
            channel_id, _, log_ns, _ = self._unpack(MESSAGE_HEAD, position, size)
            self._scan.extents.append(Extent(position, size, log_ns, log_ns, opcode, {channel_id: 1}))
        elif opcode == Opcode.MESSAGE_INDEX:
            self._scan_index(position, size)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA, Opcode.HEADER):
            if size > MAX_RECORD_BYTES:
                raise self._damaged(f"a record of {size} bytes where a few thousand are expected")
            self._keep(opcode, self._file.read(size))

    def _scan_index(self, position: int, size: int) -> None:
        """Note how many messages of one channel the chunk before this index holds."""
        channel_id, _ = self._unpack(struct.Struct("<HI"), position, size)
        extents = self._scan.extents
        if not extents or extents[-1].opcode != Opcode.CHUNK:
            raise self._damaged("a message index without a chunk")
        last = extents[-1]
        counts = {**(last.counts or {}), channel_id: (size - 6) // 16}
        extents[-1] = replace(last, counts=counts)

    def _unpack(self, layout: struct.Struct, position: int, size: int) -> tuple[Any, ...]:
        if size < layout.size:
            raise self._damaged(f"a record of {size} bytes at byte {position} is too short")
        self._file.seek(position)
        return layout.unpack(self._file.read(layout.size))

    def _keep(self, opcode: int, body: bytes) -> None:
        stream = ReadDataStream(BytesIO(body))
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(stream)
                self._scan.schemas[schema.id] = schema
            elif opcode == Opcode.CHANNEL:
                channel = Channel.read(stream)
                self._scan.channels[channel.id] = channel
            elif opcode == Opcode.METADATA:
                record = Metadata.read(stream)
                self._scan.metadata[record.name] = record.metadata
            elif Header.read(stream).profile not in ("ros2", ""):
                raise BagError(f"{self.path} was not recorded from ROS 2: its profile is another")
        except (McapError, struct.error, UnicodeDecodeError) as error:
            raise self._damaged(f"an unreadable {Opcode(opcode).name.lower()} record") from error

    def _counts_of(self, extent: Extent) -> dict[int, int]:
        if extent.counts is not None:
            return extent.counts
        counts: dict[int, int] = {}
        for message in self._messages_of(extent):
            counts[message.channel_id] = counts.get(message.channel_id, 0) + 1
        return counts

    def _messages_of(self, extent: Extent) -> Iterator[RawMessage]:
        try:
            self._file.seek(extent.offset)
            body = memoryview(self._file.read(extent.size))
        except (OSError, ValueError) as error:
            raise BagError(f"cannot read {self.path}: {error}") from error
        try:
            found = records(body) if extent.opcode == Opcode.CHUNK else [(extent.opcode, body)]
            for opcode, record in found:
                if opcode == Opcode.MESSAGE:
                    if len(record) < MESSAGE_HEAD.size:
                        raise ChunkError("a message is too short")
                    channel_id, sequence, log_ns, _ = MESSAGE_HEAD.unpack_from(record)
                    yield RawMessage(log_ns, sequence, channel_id, record[MESSAGE_HEAD.size :])
                elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                    self._keep(opcode, bytes(record))
        except ChunkError as error:
            raise self._damaged(str(error)) from error
