"""A time-out of our own on the arm's targets, since the tracker below has none."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable


class TargetWatchdog:
    """Calls back once when no target was noted for a time; begins with the first target.

    Its thread also runs while the thread that sets targets is blocked, though not where all of Python is; then
    the arm stays at its last target, which the impedance law's error clip keeps gentle.

    Args:
        timeout_s: See `FrankyArmConfig.target_timeout_s`.
        on_timeout: A method, called in the watchdog's thread; its object is not kept alive.
    """

    def __init__(self, timeout_s: float, on_timeout: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._on_timeout = weakref.WeakMethod(on_timeout)
        self._last_s: float | None = None
        self._stop = threading.Event()
        # A thread that holds the arm would keep its connection open after its owner let it go.
        threading.Thread(target=self._watch, name="target-watchdog", daemon=True).start()

    def note_target(self) -> None:
        """Say that a target came."""
        self._last_s = time.monotonic()

    def stop(self) -> None:
        """Watch no more; does not wait."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(self._timeout_s / 10.0):
            last_s = self._last_s
            if last_s is not None and time.monotonic() - last_s > self._timeout_s:
                on_timeout = self._on_timeout()
                if on_timeout is not None:
                    on_timeout()
                return
