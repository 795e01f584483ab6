"""Several processes of the `glue` command on this machine, with the environment that torchrun would give them.

torchrun itself serves too; this gives Ctrl-C, exit codes and messages as one process has them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import IO

_POLL_S = 0.1
_GRACE_S = 10.0
"""How long the others may go on after one has failed, before they are ended."""

_SHOWN_CHARACTERS = 4000


def run_processes(arguments: Sequence[str], count: int) -> int:
    """Run `glue ARGUMENTS` in `count` processes and return the first one's exit code, or another's if that is 0.

    The first process speaks; what others wrote to stderr is shown if they failed and the first one gave no reason. A
    signal to this process goes to all of them, each of which is in a session of its own, so that none gets it twice.
    """
    with ExitStack() as stack:
        shared = os.environ | {
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }
        # Gloo looks up this machine's name otherwise, which not every container can resolve.
        shared.setdefault("GLOO_SOCKET_IFNAME", "lo")
        errors: list[IO[str] | None] = [
            None,
            *(stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count - 1)),
        ]
        children = []
        for rank, file in enumerate(errors):
            environment = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [sys.executable, "-m", "glue_bringup.cli.main", *arguments]
            output = None if file is None else subprocess.DEVNULL
            child = subprocess.Popen(
                command, env=environment, stdout=output, stderr=file, start_new_session=True
            )
            children.append(child)
            stack.callback(_end, child)
        with _signals_to(children):
            _wait(children)
        codes = [child.returncode for child in children]
        # 1 is Python's own code for an error that nobody expected, such as a lost connection to another process.
        if codes[0] in (0, 1) or codes[0] < 0:
            for code, file in zip(codes, errors, strict=True):
                if code != 0 and file is not None:
                    file.seek(0)
                    sys.stderr.write(file.read()[-_SHOWN_CHARACTERS:])
        code = next((code for code in codes if code != 0), 0)
        return 128 - code if code < 0 else code


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Return when all have ended; once one has failed, the others have `_GRACE_S` for that."""
    deadline = float("inf")
    while None in (codes := [child.poll() for child in children]):
        if any(codes):
            deadline = min(deadline, time.monotonic() + _GRACE_S)
        if time.monotonic() > deadline:
            for child in children:
                _end(child)
        time.sleep(_POLL_S)


@contextmanager
def _signals_to(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def forward(number: int, frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)

    previous = {kind: signal.signal(kind, forward) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
        child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
