"""The first words between libfranka and a robot: which server version it is. Plain sockets, no libfranka.

The wire format is libfranka's: a header (command, number, size; unsigned 32 bit) and, for Connect, the version spoken
and the port for states (unsigned 16 bit); the answer carries a status and the server's version.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

COMMAND_PORT = 1337
"""Where every Franka robot listens."""

_HEADER = struct.Struct("<III")
_REQUEST = struct.Struct("<HH")
_CONNECT = 0


@dataclass(frozen=True)
class ServerAnswer:
    """What a robot's server said.

    Attributes:
        compatible: Whether it would talk on with the version given.
        version: Its own.
        connect_ms: Time that the TCP connection took: one round trip.
    """

    compatible: bool
    version: int
    connect_ms: float


def ask_server(address: str, library_version: int, timeout_s: float = 1.0) -> ServerAnswer | None:
    """Say hello, take the answer, hang up; None without an answer. The robot must not be in use by a program.

    Args:
        address: Of the robot.
        library_version: The server version that one claims to speak.
        timeout_s: For the connection and for the answer.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as states:
        states.bind(("", 0))
        request = _REQUEST.pack(library_version, states.getsockname()[1])
        try:
            begin_s = time.perf_counter()
            with socket.create_connection((address, COMMAND_PORT), timeout_s) as link:
                connect_ms = (time.perf_counter() - begin_s) * 1e3
                link.sendall(_HEADER.pack(_CONNECT, 0, _HEADER.size + len(request)) + request)
                reply = _receive(link, _HEADER.size + _REQUEST.size)
        except OSError:
            return None
    if reply is None:
        return None
    status, version = _REQUEST.unpack_from(reply, _HEADER.size)
    return ServerAnswer(status == 0, version, connect_ms)


def read_request(link: socket.socket) -> int | None:
    """Return the version that a client speaks, from its first request, and refuse it; None if it hangs up."""
    request = _receive(link, _HEADER.size + _REQUEST.size)
    if request is None:
        return None
    version = int(_REQUEST.unpack_from(request, _HEADER.size)[0])
    reply = struct.pack("<HH4x", 1, version)
    link.sendall(_HEADER.pack(_CONNECT, _HEADER.unpack_from(request)[1], _HEADER.size + len(reply)) + reply)
    return version


def _receive(link: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            return None
        data += piece
    return data
