"""Where a network's windows are worked out: in the caller's thread, or in one of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from glue_perception.trackers.window_network import WindowAnswer

WindowJob = Callable[[], WindowAnswer]
Outcome = WindowAnswer | Exception
"""What a job returned, or what it raised."""


class WindowRunner(Protocol):
    """Takes one job at a time. Nothing here waits for a job of another thread."""

    @property
    def idle(self) -> bool:
        """Whether a job may be submitted: none is running and none waits to be taken."""
        ...

    def submit(self, job: WindowJob) -> None:
        """Begin a job; only when idle."""
        ...

    def take(self) -> Outcome | None:
        """Return the outcome of the job once, or None if it is not there yet or nothing was submitted."""
        ...


class InlineRunner:
    """Works a job out within `submit`. Deterministic; the caller waits."""

    def __init__(self) -> None:
        self._outcome: Outcome | None = None

    @property
    def idle(self) -> bool:
        """Whether no outcome waits to be taken."""
        return self._outcome is None

    def submit(self, job: WindowJob) -> None:
        """Work the job out now."""
        self._outcome = _outcome_of(job)

    def take(self) -> Outcome | None:
        """Return the outcome of the last job once."""
        outcome, self._outcome = self._outcome, None
        return outcome


class BackgroundRunner:
    """Works jobs out in one thread of its own, which ends with this object.

    A network call cannot be interrupted: Python's exit waits for the job that runs.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="point-tracker")
        self._job: Future[Outcome] | None = None

    @property
    def idle(self) -> bool:
        """Whether no job runs and no outcome waits to be taken."""
        return self._job is None

    def submit(self, job: WindowJob) -> None:
        """Hand a job to the thread."""
        self._job = self._pool.submit(_outcome_of, job)

    def take(self) -> Outcome | None:
        """Return the outcome once it is there."""
        if self._job is None or not self._job.done():
            return None
        job, self._job = self._job, None
        return job.result()


def _outcome_of(job: WindowJob) -> Outcome:
    try:
        return job()
    except Exception as error:
        # The traceback holds the frames of a whole window alive.
        return error.with_traceback(None)
