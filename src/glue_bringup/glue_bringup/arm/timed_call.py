"""A call that may hang for ever, given up after a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def call_within(work: Callable[[], T], timeout_s: float, name: str) -> T:
    """Return what `work` returns, or raise what it raises; it runs in a daemon thread.

    libfranka waits without end for a robot that accepts a connection and does not answer. A result that comes too
    late is let go again.

    Raises:
        TimeoutError: it has not ended within `timeout_s`.
    """
    outcome: _Outcome[T] = _Outcome()

    def run() -> None:
        try:
            outcome.finish([work()], None)
        except Exception as error:  # handed over to the caller's thread
            outcome.finish([], error)

    threading.Thread(target=run, name=name, daemon=True).start()
    if not outcome.wait(timeout_s):
        raise TimeoutError(f"{name} has not ended within {timeout_s:g} s")
    if outcome.error is not None:
        raise outcome.error
    return outcome.result[0]


class _Outcome(Generic[T]):
    def __init__(self) -> None:
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._abandoned = False
        self.result: list[T] = []
        self.error: Exception | None = None

    def finish(self, result: list[T], error: Exception | None) -> None:
        with self._lock:
            if not self._abandoned:
                self.result, self.error = result, error
            self._done.set()

    def wait(self, timeout_s: float) -> bool:
        self._done.wait(timeout_s)
        with self._lock:
            self._abandoned = not self._done.is_set()
            return not self._abandoned
