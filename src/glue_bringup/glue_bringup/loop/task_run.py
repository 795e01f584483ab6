"""When an episode of a graph ends, and how."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class EpisodeEnd(Enum):
    """How an episode ended; the values are the error codes of RunTask."""

    SUCCEEDED = 0
    TIMED_OUT = 7
    CANCELED = 8

    @property
    def words(self) -> str:
        """The message that goes with it."""
        return {
            EpisodeEnd.SUCCEEDED: "",
            EpisodeEnd.TIMED_OUT: "the task was not done within its time",
            EpisodeEnd.CANCELED: "cancelled by the client",
        }[self]


class TaskRunError(Exception):
    """An episode that could not begin or go on.

    Attributes:
        code: Error code of RunTask.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class EpisodeWatch:
    """Decides when a running episode is over; made when the first chunk is out.

    Args:
        max_duration_s: Without success it ends then.
        settle_s: It goes on this long after success, so that the arm comes to rest where it should.
        clock_s: Returns monotonic time.
    """

    def __init__(self, max_duration_s: float, settle_s: float, clock_s: Callable[[], float]) -> None:
        self._max_duration_s = max_duration_s
        self._settle_s = settle_s
        self._clock_s = clock_s
        self._start_s = clock_s()
        self._success_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Time since the start."""
        return self._clock_s() - self._start_s

    def end(self, done: bool, cancelled: bool) -> EpisodeEnd | None:
        """Return how the episode has ended, or None while it goes on.

        Args:
            done: Whether the task is reported done now; once is enough.
            cancelled: Whether the client wants it to end.
        """
        if cancelled:
            return EpisodeEnd.CANCELED
        now_s = self.elapsed_s
        if done and self._success_s is None:
            self._success_s = now_s
        if self._success_s is not None:
            return EpisodeEnd.SUCCEEDED if now_s >= self._success_s + self._settle_s else None
        return EpisodeEnd.TIMED_OUT if now_s >= self._max_duration_s else None
