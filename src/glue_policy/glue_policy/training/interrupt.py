"""Ctrl-C that waits for the end of a training step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class DeferredInterrupt:
    """Notes Ctrl-C and SIGTERM inside the block and raises KeyboardInterrupt when it is left.

    So the loop inside can finish its step and save a state that is whole. A second signal interrupts at once. Python
    delivers signals to the main thread only; on another thread the block changes nothing.

    Attributes:
        requested: Whether a signal has come, here or, by `request`, in another process of the run.
    """

    def __init__(self) -> None:
        self.requested = False
        self._signalled = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for kind in (signal.SIGINT, signal.SIGTERM):
                self._previous[kind] = signal.signal(kind, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self.requested and error is None:
            raise KeyboardInterrupt

    def request(self) -> None:
        """Interrupt as a signal does; the signal itself may still come and does no more harm."""
        self.requested = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = self.requested = True
