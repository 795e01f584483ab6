"""A child process of the twin: started from a module, answers once when ready, ends when its socket closes.

Plain subprocesses rather than multiprocessing: a child never imports the caller's main module, so scripts need
no guard and a caller with heavy imports does not pay for them twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from glue_perception.allocation import keep_freed_memory
from glue_perception.errors import HardwareError, RenderingError

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 1.5

_ERRORS = {"RenderingError": RenderingError}


class TwinProcess:
    """The parent's end.

    Args:
        module: Run as `python -m`; its main calls `ChildLink`.
        settings: JSON values for the child.
        fds: Open files that the child inherits under the same numbers.

    Raises:
        HardwareError: when built, if the process cannot be started at all.
    """

    def __init__(self, module: str, settings: dict[str, Any], fds: Sequence[int]) -> None:
        self.module = module
        self.socket, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        settings = {**settings, "link_fd": child.fileno(), "parent_pid": os.getpid()}
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            # Matrices of 7 x 7 gain nothing from threads, and these would take the cores of the 1 kHz loop.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(settings)],
                pass_fds=[child.fileno(), *fds],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        except OSError as error:
            self.socket.close()
            self._errors.close()
            raise HardwareError(f"cannot start the simulation process {module}: {error}") from error
        finally:
            child.close()

    def wait_ready(self) -> dict[str, Any]:
        """Return the child's answer.

        Raises:
            RenderingError: the child has no OpenGL.
            HardwareError: the child failed, died or did not answer in time; the message says how.
        """
        readable, _, _ = select.select([self.socket], [], [], START_TIMEOUT_S)
        if not readable:
            raise HardwareError(
                f"{self.module} did not answer within {START_TIMEOUT_S:g} s{self.last_words()}"
            )
        answer = self.socket.recv(65536)
        if not answer:
            raise HardwareError(f"{self.module} ended while starting{self.last_words()}")
        message: dict[str, Any] = json.loads(answer)
        if "error" in message:
            raise _ERRORS.get(message["kind"], HardwareError)(message["error"])
        return message

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def last_words(self) -> str:
        """Return the last line that the child wrote to stderr, to end a message with; empty if none."""
        try:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
        except ValueError:  # stopped meanwhile by another thread
            return ""
        return f": {lines[-1]}" if lines else ""

    def hang_up(self) -> None:
        """Close the socket, which tells the child to end; does not wait."""
        self.socket.close()

    def stop(self) -> None:
        """Make sure that the process has ended. Safe to call twice."""
        self.hang_up()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


class ChildLink:
    """The child's end: says ready or failed once, then tells whether to go on."""

    def __init__(self, settings: dict[str, Any]) -> None:
        keep_freed_memory()
        self.socket = socket.socket(fileno=settings["link_fd"])
        self.socket.setblocking(False)
        self._parent_pid = settings["parent_pid"]

    def ready(self, **values: Any) -> None:
        """Tell the parent that all is up."""
        self.socket.send(json.dumps({"ready": True, **values}).encode())

    def failed(self, error: Exception) -> None:
        """Tell the parent why not."""
        message = " ".join(str(error).split()) or type(error).__name__
        with contextlib.suppress(OSError):
            self.socket.send(json.dumps({"error": message, "kind": type(error).__name__}).encode())

    def wake_parent(self) -> None:
        """Send an empty sign of life; dropped where the parent does not read."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self.socket.send(b"\1")

    def parent_gone(self) -> bool:
        """Return whether the parent hung up or died."""
        if os.getppid() != self._parent_pid:
            return True
        try:
            return self.socket.recv(16) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
