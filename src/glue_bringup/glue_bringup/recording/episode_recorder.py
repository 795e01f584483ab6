"""Records one episode to a bag from any thread, without loss and without holding up control."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import Float

from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError, GlueError
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

FRAME_QUEUE_BYTES = 64 << 20
"""About two seconds of 640 x 480 at 30 Hz: longer than a disk's usual pause."""

MAX_SMALL_WAITING = 100_000
"""A quarter of an hour of control at 100 Hz; a writer that is so far behind is stuck for good."""


class Outcome(Enum):
    """How an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    ABORTED = "aborted"


class EpisodeRecorder:
    """One episode's record. All methods may be called from any thread; a thread of its own writes.

    Only `frame` waits, when more images are queued than `FRAME_QUEUE_BYTES`. Nothing is dropped: when writing
    fails (a full disk), the next call of the perception or policy side raises the error and so does `close`.
    `target` and `safety_event` never raise: they are called by the control thread, which has to bring the arm to
    rest whatever happens to the record.

    Used as a context manager it is closed at the end of the block, as aborted unless `close` was called with
    another outcome.

    Args:
        path: The bag's directory; must not exist.
        metadata: What the bag says of itself; the outcome is added as `outcome`.

    Raises:
        BagError: the path exists or cannot be written.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self._path = path
        self._writer = BagWriter(path, metadata)
        self._queue: deque[tuple[int, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._frame_bytes = 0
        self._closing = False
        self._failure: GlueError | None = None
        self._thread = threading.Thread(target=self._write_all, name="episode_recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close(Outcome.ABORTED)
        except GlueError:
            if error is None:
                raise  # otherwise the block's own error says more

    def frame(self, frame: CameraFrame) -> None:
        """Add a frame; waits while too many images are queued.

        Raises:
            BagError: an earlier write failed, or the recorder is closed.
        """
        size = frame.rgb.nbytes + (0 if frame.depth_m is None else frame.depth_m.nbytes)
        with self._changed:
            # An image larger than the whole queue may still be alone in it.
            self._changed.wait_for(
                lambda: (
                    self._frame_bytes == 0
                    or self._frame_bytes + size <= FRAME_QUEUE_BYTES
                    or self._failure is not None
                )
            )
            self._raise_failure()
            self._frame_bytes += size
            self._put(lambda: self._writer.frame(frame), size)

    def robot_state(self, state: RobotState) -> None:
        """Add a robot state; raises as `frame` does."""
        self._add(lambda: self._writer.robot_state(state))

    def key_patches(self, patches: KeyPatches) -> None:
        """Add the key-patches of a frame; raises as `frame` does."""
        self._add(lambda: self._writer.key_patches(patches))

    def chunk(self, chunk: ActionChunk) -> None:
        """Add what the policy predicted; raises as `frame` does."""
        self._add(lambda: self._writer.chunk(chunk))

    def demonstrated_action(self, action: ActionChunk) -> None:
        """Add what the demonstrator commanded, a chunk of one action; raises as `frame` does."""
        self._add(lambda: self._writer.demonstrated_action(action))

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Add a pose handed to the arm."""
        pose = np.array(T_base_ee, dtype=np.float64)
        with self._changed:
            self._put(lambda: self._writer.target(stamp_ns, pose), 0)

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Add a decision of the safety supervisor."""
        with self._changed:
            self._put(lambda: self._writer.safety_event(stamp_ns, mode, reason), 0)

    def close(self, outcome: Outcome) -> None:
        """Write what is queued and finish the bag. Further calls do nothing.

        Raises:
            BagError: something could not be written; what could is readable.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._writer.add_metadata({"outcome": outcome.value})
        try:
            self._writer.close()
        except GlueError as error:
            self._failure = self._failure or error
        self._raise_failure()

    def _add(self, write: Callable[[], None]) -> None:
        with self._changed:
            self._raise_failure()
            self._put(write, 0)

    def _put(self, write: Callable[[], None], size: int) -> None:
        """Queue a write; the caller holds the lock. After a failure or the end there is nobody to write it."""
        if self._closing or self._failure is not None:
            return
        if len(self._queue) >= MAX_SMALL_WAITING:
            self._failure = BagError(
                f"writing the bag {self._path} is stuck: {len(self._queue)} messages wait"
            )
            self._queue.clear()
            return
        self._queue.append((size, write))
        self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise BagError(str(self._failure)) from self._failure

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                size, write = self._queue.popleft()
            failure: GlueError | None = None
            try:
                write()
            except GlueError as error:
                failure = error
            with self._changed:
                self._frame_bytes -= size
                if failure is not None:
                    self._failure = failure
                    self._queue.clear()
                self._changed.notify_all()
                if failure is not None:
                    return
