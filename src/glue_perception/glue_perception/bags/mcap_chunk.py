"""Opens one MCAP chunk that may be damaged or forged.

The sizes that a chunk and its compressed frame claim are checked before anything is allocated.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import lz4.frame
import zstandard

MAX_CHUNK_BYTES = 1 << 27
"""A raw 4k image is 25 MB; rosbag2's chunks are as large as their largest message."""

RECORD_HEAD = struct.Struct("<BQ")
CHUNK_HEAD = struct.Struct("<QQQII")
"""First and last log time, uncompressed size, checksum, length of the compression's name."""


class ChunkError(Exception):
    """The chunk cannot be read; the message says why. Never leaves this package."""


def records(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield opcode and body of each record in a chunk.

    Args:
        body: Of the chunk record, as it lies in the file.

    Raises:
        ChunkError: sizes that contradict each other, a wrong checksum, unknown compression.
    """
    data = _decompressed(body)
    position = 0
    while position < len(data):
        if len(data) - position < RECORD_HEAD.size:
            raise ChunkError("a chunk ends in the middle of a record")
        opcode, size = RECORD_HEAD.unpack_from(data, position)
        position += RECORD_HEAD.size
        if size > len(data) - position:
            raise ChunkError("a chunk ends in the middle of a record")
        yield opcode, data[position : position + size]
        position += size


def _decompressed(body: memoryview) -> memoryview:
    _, _, size, crc, name_size = CHUNK_HEAD.unpack_from(body)
    start = CHUNK_HEAD.size + name_size + 8
    if name_size > 16 or start > len(body):
        raise ChunkError("a chunk's head is unreadable")
    compression = bytes(body[CHUNK_HEAD.size : CHUNK_HEAD.size + name_size]).decode("ascii", "replace")
    packed = body[start:]
    if size > MAX_CHUNK_BYTES:
        raise ChunkError(f"a chunk claims to be {size} bytes long; {MAX_CHUNK_BYTES} are the most")
    if struct.unpack_from("<Q", body, start - 8)[0] != len(packed):
        raise ChunkError("a chunk's size contradicts its record's")
    data = memoryview(_unpacked(compression, packed, size))
    if len(data) != size:
        raise ChunkError(f"a chunk of {size} bytes gave {len(data)}")
    if crc and zlib.crc32(data) != crc:
        raise ChunkError("a chunk's checksum is wrong")
    return data


def _unpacked(compression: str, packed: memoryview, size: int) -> bytes | memoryview:
    if compression == "":
        return packed
    try:
        if compression == "zstd":
            claimed = zstandard.get_frame_parameters(packed).content_size
            if claimed not in (size, zstandard.CONTENTSIZE_UNKNOWN):
                raise ChunkError(f"a chunk of {size} bytes holds a frame of {claimed}")
            return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        if compression == "lz4":
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size))
    except (zstandard.ZstdError, RuntimeError, ValueError, EOFError, MemoryError) as error:
        raise ChunkError(f"a chunk cannot be decompressed ({error})") from error
    raise ChunkError(f"its chunks are compressed as {compression!r}, but only zstd and lz4 are known")
