"""Records one episode to a bag from any thread, without loss and without holding up control."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import Float

from glue_perception.bags import topics
from glue_perception.bags.mcap_writer import OpenFile, create_file
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError, GlueError
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

FRAME_QUEUE_BYTES = 64 << 20
"""About two seconds of 640 x 480 at 30 Hz: longer than a disk's usual pause."""

MAX_SMALL_WAITING = 100_000
"""A quarter of an hour of control at 100 Hz; a writer that is so far behind is stuck for good."""

KINDS = {
    topics.IMAGE: "frame",
    topics.ROBOT_STATE: "robot_state",
    topics.KEY_PATCHES: "key_patches",
    topics.ACTION_CHUNK: "chunk",
    topics.DEMONSTRATED_ACTION: "demonstrated_action",
    topics.TARGET: "target",
    topics.SAFETY_EVENT: "safety_event",
}
"""What each method adds, by the topic that holds it exactly."""


GATHER_S = 0.05
"""Small messages wake nobody: they wait for the next image, or for this long. A thread that is woken a hundred times
a second takes Python's interpreter lock from the control thread as often."""


class Outcome(Enum):
    """How an episode ended. Only SUCCESS is trained on.

    DISCARDED: the operator wants it gone; it is kept all the same. REFUSED: its audit found it unfit.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    ABORTED = "aborted"
    DISCARDED = "discarded"
    REFUSED = "refused"


class WhenFull(Enum):
    """What becomes of an image while `FRAME_QUEUE_BYTES` wait for the disk: it waits with its caller, or is lost."""

    WAIT = "wait"
    DROP = "drop"


class EpisodeRecorder:
    """One episode's record. All methods may be called from any thread; a thread of its own writes.

    Only `frame` waits, when more images are queued than `FRAME_QUEUE_BYTES`, and not with `WhenFull.DROP`, which
    leaves that image out. Nothing else is dropped, and what is lost is counted in `lost`: when writing
    fails (a full disk), the next call of the perception or policy side raises the error and so does `close`.
    `target` and `safety_event` never raise: they are called by the control thread, which has to bring the arm to
    rest whatever happens to the record.

    Used as a context manager it is closed at the end of the block, as aborted unless `close` was called with
    another outcome.

    Args:
        path: The bag's directory; must not exist.
        metadata: What the bag says of itself; the outcome is added as `outcome`.
        when_full: See `WhenFull`.
        open_file: See `McapWriter`.

    Raises:
        BagError: the path exists or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        metadata: Mapping[str, str],
        *,
        when_full: WhenFull = WhenFull.WAIT,
        open_file: OpenFile = create_file,
    ) -> None:
        self._path = path
        self._when_full = when_full
        self._writer = BagWriter(path, metadata, open_file)
        self._queue: deque[tuple[str, int, Callable[[], None]]] = deque()
        self._offered: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._frame_bytes = 0
        self._closing = self._closed = False
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

    @property
    def path(self) -> Path:
        """The bag's directory."""
        return self._path

    @property
    def lost(self) -> dict[str, int]:
        """How many messages of each kind were handed over and are not in the bag."""
        with self._changed:
            kept = self._writer.kept
            if kept is None:
                return dict(self._lost)
            topic_of = {kind: topic for topic, kind in KINDS.items()}
            counts = {kind: n - kept.get(topic_of[kind], 0) for kind, n in self._offered.items()}
            return {kind: n for kind, n in counts.items() if n}

    @property
    def failure(self) -> str:
        """Why nothing is written any more; empty if all is well."""
        with self._changed:
            return "" if self._failure is None else str(self._failure)

    def frame(self, frame: CameraFrame) -> None:
        """Add a frame; while too many images are queued it waits or is lost, see `WhenFull`.

        Raises:
            BagError: an earlier write failed, or the recorder is closed.
        """
        size = frame.rgb.nbytes + (0 if frame.depth_m is None else frame.depth_m.nbytes)

        def has_room() -> bool:
            # An image larger than the whole queue may still be alone in it.
            return self._frame_bytes == 0 or self._frame_bytes + size <= FRAME_QUEUE_BYTES

        with self._changed:
            if self._when_full is WhenFull.DROP and self._failure is None and not has_room():
                self._offered["frame"] += 1
                self._lost["frame"] += 1
                return
            self._changed.wait_for(lambda: has_room() or self._failure is not None)
            self._put("frame", lambda: self._writer.frame(frame), size)
            self._raise_failure()

    def robot_state(self, state: RobotState, measured_ns: int | None = None) -> None:
        """Add a robot state; raises as `frame` does.

        Args:
            state: As the policy sees it, under its frame's stamp.
            measured_ns: When it was measured; an audit wants to know, the bag does not say.
        """
        self._add("robot_state", lambda: self._writer.robot_state(state))

    def key_patches(self, patches: KeyPatches) -> None:
        """Add the key-patches of a frame; raises as `frame` does."""
        self._add("key_patches", lambda: self._writer.key_patches(patches))

    def chunk(self, chunk: ActionChunk) -> None:
        """Add what the policy predicted; raises as `frame` does."""
        self._add("chunk", lambda: self._writer.chunk(chunk))

    def demonstrated_action(self, action: ActionChunk) -> None:
        """Add what the demonstrator commanded, a chunk of one action; raises as `frame` does."""
        self._add("demonstrated_action", lambda: self._writer.demonstrated_action(action))

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Add a pose handed to the arm."""
        pose = np.array(T_base_ee, dtype=np.float64)
        with self._changed:
            self._put("target", lambda: self._writer.target(stamp_ns, pose), 0)

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Add a decision of the safety supervisor."""
        with self._changed:
            self._put("safety_event", lambda: self._writer.safety_event(stamp_ns, mode, reason), 0)

    def drain(self) -> None:
        """Write what is queued and take nothing more; returns when that is done, which `close` does too.

        Between `drain` and `close`, `lost` is final.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def close(self, outcome: Outcome, metadata: Mapping[str, str] | None = None) -> None:
        """Write what is queued and finish the bag. Further calls do nothing.

        Args:
            outcome: How the episode ended.
            metadata: More for the bag to say of itself, e.g. its audit.

        Raises:
            BagError: something could not be written; what could is readable.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
        self.drain()
        self._writer.add_metadata({**(metadata or {}), "outcome": outcome.value})
        try:
            self._writer.close()
        except GlueError as error:
            self._failure = self._failure or error
        self._raise_failure()

    def _add(self, kind: str, write: Callable[[], None]) -> None:
        with self._changed:
            self._put(kind, write, 0)
            self._raise_failure()

    def _put(self, kind: str, write: Callable[[], None], size: int) -> None:
        """Queue a write; the caller holds the lock. After a failure or the end there is nobody to write it."""
        if self._closing:
            return
        self._offered[kind] += 1
        if self._failure is not None:
            self._lost[kind] += 1
            return
        if len(self._queue) >= MAX_SMALL_WAITING:
            self._failure = BagError(
                f"writing the bag {self._path} is stuck: {len(self._queue)} messages wait"
            )
            self._lost[kind] += 1
            self._lose_queue()
            return
        self._frame_bytes += size
        self._queue.append((kind, size, write))
        if size:
            self._changed.notify_all()

    def _lose_queue(self) -> None:
        self._lost.update(kind for kind, _, _ in self._queue)
        self._queue.clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise BagError(str(self._failure)) from self._failure

    def _write_all(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._changed.wait_for(lambda: self._frame_bytes or self._closing, GATHER_S)
                if not self._queue:
                    if self._closing:
                        return
                    continue
                kind, size, write = self._queue.popleft()
            failure: GlueError | None = None
            try:
                write()
            except GlueError as error:
                failure = error
            with self._changed:
                self._frame_bytes -= size
                if failure is not None:
                    self._failure = failure
                    self._lost[kind] += 1
                    self._lose_queue()
                self._changed.notify_all()
                if failure is not None:
                    return
