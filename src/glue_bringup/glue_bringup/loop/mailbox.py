"""A mailbox of one: the newest value wins, the reader never sees an old one."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hands the newest value from one thread to another."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._value: T | None = None

    def put(self, value: T) -> None:
        """Leave a value; one that nobody took yet is replaced."""
        with self._condition:
            self._value = value
            self._condition.notify()

    def take(self, timeout_s: float) -> T | None:
        """Return the value and empty the box; None if none comes within `timeout_s`."""
        with self._condition:
            if self._value is None and timeout_s > 0.0:
                self._condition.wait(timeout_s)
            value, self._value = self._value, None
            return value
