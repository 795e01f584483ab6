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


def run_processes(arguments: Sequence[str], count: int) -> int:
    """Run `glue ARGUMENTS` in `count` processes and return the exit code of the first that failed, or 0.

    The first process speaks; what another writes to stderr is shown if that one failed first. A signal to this
    process goes to all of them, each of which is in a session of its own, so that none gets it twice.
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
        errors = [None, *(stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count - 1))]
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
            failed = _wait(children)
        if failed is None:
            return 0
        _show(errors[failed])
        code = children[failed].returncode
        return 128 - code if code < 0 else code


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Return the rank of the process that failed first, when all have ended; None if none did."""
    failed, deadline = None, float("inf")
    while any(child.poll() is None for child in children):
        bad = [rank for rank, child in enumerate(children) if child.returncode]
        if bad and failed is None:
            failed, deadline = bad[0], time.monotonic() + _GRACE_S
        if time.monotonic() > deadline:
            for child in children:
                _end(child)
        time.sleep(_POLL_S)
    if failed is None:
        failed = next((rank for rank, child in enumerate(children) if child.returncode), None)
    return failed


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


def _show(errors: IO[str] | None) -> None:
    if errors is not None:
        errors.seek(0)
        sys.stderr.write(errors.read()[-4000:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
