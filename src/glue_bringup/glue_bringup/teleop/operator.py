"""What the operator of a recording says: start, stop, and the verdict on an episode."""

from __future__ import annotations

import os
import queue
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, Self

from glue_perception.errors import ConfigError


class OperatorCommand(Enum):
    """START: begin. STOP: end, verdict later. DISCARD, SUCCESS, FAILURE: end with a verdict. QUIT: no more."""

    START = "start"
    STOP = "stop"
    DISCARD = "discard"
    SUCCESS = "success"
    FAILURE = "failure"
    QUIT = "quit"


COMMAND_KEYS = {
    "\r": OperatorCommand.START,
    "\n": OperatorCommand.START,
    " ": OperatorCommand.STOP,
    "\x7f": OperatorCommand.DISCARD,
    "\x08": OperatorCommand.DISCARD,
    "y": OperatorCommand.SUCCESS,
    "n": OperatorCommand.FAILURE,
    "q": OperatorCommand.QUIT,
}
HELP = "Enter start  Space stop  y success  n failure  Backspace discard  q quit"


class Operator(Protocol):
    """Gives commands one at a time."""

    def take(self, timeout_s: float) -> OperatorCommand | None:
        """Return the next command, or None if none comes in time."""
        ...


class TerminalOperator:
    """Reads keys from a terminal, without Enter and without echo, for as long as the block lasts.

    Args:
        on_key: Gets every key first and returns whether it took it, e.g. `Keyboard.feed`.
        fd: The terminal.

    Raises:
        ConfigError: it is no terminal.
    """

    def __init__(self, on_key: Callable[[str], bool] = lambda key: False, fd: int | None = None) -> None:
        self._fd = sys.stdin.fileno() if fd is None else fd
        if not os.isatty(self._fd):
            raise ConfigError(
                "the operator's keys are read from a terminal, which stdin is not; run it in one, or record with "
                "--teleop expert"
            )
        self._on_key = on_key
        self._commands: queue.SimpleQueue[OperatorCommand] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._settings: list[Any] = []

    def __enter__(self) -> Self:
        self._settings = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        self._thread = threading.Thread(target=self._read_keys, name="operator", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(1.0)
        with suppress(termios.error):  # a terminal that was closed needs no settings
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._settings)

    def take(self, timeout_s: float) -> OperatorCommand | None:
        """Return the next command, or None if none comes in time."""
        try:
            return self._commands.get(timeout=timeout_s) if timeout_s > 0 else self._commands.get_nowait()
        except queue.Empty:
            return None

    def _read_keys(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._fd], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._fd, 64)
            except OSError:  # the terminal was closed
                data = b""
            if not data:
                self._commands.put(OperatorCommand.QUIT)
                return
            for key in data.decode("utf-8", "ignore"):
                if not self._on_key(key) and key in COMMAND_KEYS:
                    self._commands.put(COMMAND_KEYS[key])


class AutomaticOperator:
    """Starts every episode at once and calls it a success when the task's own test says so, else a failure.

    Args:
        succeeded: The task's test; asked only while an episode runs.
    """

    def __init__(self, succeeded: Callable[[], bool]) -> None:
        self._succeeded = succeeded
        self._started = False

    def take(self, timeout_s: float) -> OperatorCommand | None:
        """Return START, then SUCCESS once the task is solved."""
        if not self._started:
            self._started = True
            return OperatorCommand.START
        return OperatorCommand.SUCCESS if self._succeeded() else None
