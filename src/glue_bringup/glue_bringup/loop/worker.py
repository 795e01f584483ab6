"""What the workers of a graph share: one thread, a queue of requests that it serves between its steps, a fault."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from glue_perception.errors import GlueError, NotReadyError

JOIN_S = 5.0


class Request:
    """Something that the worker's own thread is to do; any thread waits for its end."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: Any = None
        self._error: GlueError | None = None

    def run(self) -> None:
        """Do it, keeping its result or error for `wait`."""
        try:
            self._result = self._work()
        except GlueError as error:
            self._error = error
        except BaseException as error:  # a defect: it ends the worker, and who waits is told
            self._error = NotReadyError(f"failed by a defect: {error!r}")
            raise
        finally:
            self._done.set()

    def wait(self, timeout_s: float) -> Any:
        """Return the result.

        Raises:
            NotReadyError: it was not done within `timeout_s`.
            GlueError: it failed.
        """
        if not self._done.wait(timeout_s):
            raise NotReadyError(
                f"not done within {timeout_s:g} s; look at the node's log and at /diagnostics"
            )
        if self._error is not None:
            raise self._error
        return self._result


class Worker:
    """A thread that repeats `step` and serves requests between.

    `start` and `stop` may alternate; a second `stop` does nothing.

    Args:
        name: Of the thread.
        failed: Told of what ends the thread, from that thread.
    """

    def __init__(self, name: str, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._name = name
        self._thread: threading.Thread | None = None
        self._step_begun_s: float | None = None

    def start(self) -> None:
        """Start the thread; it must not be running."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step that it is at, and wait for it."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_S)

    def ask(self, work: Callable[[], Any], timeout_s: float) -> Any:
        """Have the worker's thread do something; return its result. See `Request.wait`."""
        request = Request(work)
        self._requests.put(request)
        return request.wait(timeout_s)

    @property
    def step_s(self) -> float:
        """How long the step under way has taken; 0 between steps, and in a request, which may take long."""
        begun_s = self._step_begun_s
        return 0.0 if begun_s is None else time.monotonic() - begun_s

    def begin(self) -> None:
        """Is called first in the thread."""

    def step(self) -> None:
        """Is repeated in the thread; must return within a tenth of a second or so when there is nothing to do."""
        raise NotImplementedError

    def end(self) -> None:
        """Is called last in the thread, whatever ended it."""

    def _run(self) -> None:
        try:
            self.begin()
            while not self._stopping.is_set():
                self._serve()
                self._step_begun_s = time.monotonic()
                self.step()
                self._step_begun_s = None
        except BaseException as error:
            self._failed(error)
        finally:
            self._step_begun_s = None
            self.end()

    def _serve(self) -> None:
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            request.run()
