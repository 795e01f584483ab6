"""Which other parts of a graph are there, and since when one is missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EPISODE_OVER_S = 0.5
"""A part missing for this long was not only late: it has ended, and what it knew of the episode is lost.

A new process cannot be there sooner, since the imports alone take longer.
"""


class Peers:
    """Keeps who is alive; any thread. Only those that have been seen alive are missed.

    A part that has ended and was started again is missed, too, however quick that was: what it knew is lost. So is
    one that stood still for `EPISODE_OVER_S` and goes on: the others have ended the episode meanwhile.

    Args:
        clock_s: Returns monotonic time.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._lost_since_s: dict[str, float | None] = {}
        self._lives: dict[str, int] = {}
        self._replaced: set[str] = set()
        self._down: set[str] = set()
        self._hung: set[str] = set()

    def note(self, name: str, alive: bool) -> None:
        """Take note that a part is there, or is no more."""
        with self._lock:
            (self._down.discard if alive else self._down.add)(name)
            if not alive:
                self._hung.discard(name)
            self._update(name)

    def note_hang(self, name: str, hangs: bool) -> None:
        """Take note that a part says of itself that it does not get on with its work, or that it does.

        One that hangs is missed also if it was never seen at work, and by an episode that begins meanwhile.
        """
        with self._lock:
            (self._hung.add if hangs else self._hung.discard)(name)
            self._update(name)

    def note_life(self, name: str, life: int) -> None:
        """Take note of a sign of life.

        Args:
            name: Of the part.
            life: Differs from one start of the part to the next, and grows.
        """
        with self._lock:
            before = self._lives.get(name, life)
            self._lives[name] = max(life, before)
            if life > before:
                self._replaced.add(name)

    def is_down(self, name: str) -> bool:
        """Return whether a part has ended and is not back yet, missed or not."""
        with self._lock:
            return name in self._down

    def forget_lost(self) -> None:
        """Miss nobody who is not there now: an episode begins with those who are."""
        with self._lock:
            self._lost_since_s = {name: since for name, since in self._lost_since_s.items() if since is None}
            self._replaced.clear()

    def lost(self, longer_than_s: float = 0.0) -> tuple[str, ...]:
        """Return who was there and has been missing for longer than this, or was replaced."""
        now_s = self._clock_s()
        with self._lock:
            missing = {
                name
                for name, since_s in self._lost_since_s.items()
                if since_s is not None and now_s - since_s >= longer_than_s
            }
            return tuple(sorted(missing | self._replaced))

    def _update(self, name: str) -> None:
        """Miss a part, or no longer; the caller holds the lock."""
        since_s = self._lost_since_s.get(name)
        if name not in self._down and name not in self._hung:
            if since_s is not None and self._clock_s() - since_s >= EPISODE_OVER_S:
                self._replaced.add(name)
            self._lost_since_s[name] = None
        elif since_s is None and (name in self._lost_since_s or name in self._hung):
            self._lost_since_s[name] = self._clock_s()


def gone(names: tuple[str, ...]) -> str:
    """Return in words that these are missing, e.g. `policy_node is gone`."""
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} gone"
