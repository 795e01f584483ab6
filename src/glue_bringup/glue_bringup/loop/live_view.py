"""What a person watches while the graph runs: the newest picture, at a rate that leaves the machine to the policy."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from glue_bringup.loop.worker import Worker
from glue_bringup.recording.episode_picture import EpisodePicture
from glue_perception.overlay import draw_status
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches

MAX_FRAMES = 15
"""Half a second: as long as perception may lag behind the camera before the picture shows none of it."""

NO_KEY_PATCHES_NS = NS_PER_S // 2
"""Newest key-patches older than this, compared with the newest frame, are not of what the camera sees now."""


class LiveView:
    """Joins frames with the key-patches of exactly their stamp. Any thread.

    Args:
        picture: Draws.
    """

    def __init__(self, picture: EpisodePicture) -> None:
        self._picture = picture
        self._lock = threading.Lock()
        self._frames: deque[CameraFrame] = deque(maxlen=MAX_FRAMES)
        self._shown: tuple[CameraFrame, KeyPatches] | None = None
        self._chunk: ActionChunk | None = None
        self._status = ""

    def frame(self, frame: CameraFrame) -> None:
        """Take a frame."""
        with self._lock:
            self._frames.append(frame)

    def key_patches(self, patches: KeyPatches) -> None:
        """Take key-patches; those whose frame is not here are left out."""
        with self._lock:
            for frame in self._frames:
                if frame.stamp_ns == patches.stamp_ns:
                    self._shown = (frame, patches)

    def chunk(self, chunk: ActionChunk) -> None:
        """Take a chunk; it is drawn until its last target has passed."""
        with self._lock:
            self._chunk = chunk

    def status(self, words: str) -> None:
        """Take what the safety supervisor says, for the caption."""
        with self._lock:
            self._status = words

    def picture(self) -> CameraFrame | None:
        """Return the newest frame that has key-patches, drawn upon; without any, the newest frame and a word on it.

        None before the first frame.
        """
        with self._lock:
            shown, chunk, status = self._shown, self._chunk, self._status
            newest = self._frames[-1] if self._frames else None
        if newest is None:
            return None
        lines = [status] if status else []
        if shown is None or newest.stamp_ns - shown[0].stamp_ns > NO_KEY_PATCHES_NS:
            return replace(newest, rgb=draw_status(newest.rgb, ["no key-patches", *lines]), depth_m=None)
        frame, patches = shown
        if chunk is not None and frame.stamp_ns > chunk.stamp_ns + len(chunk) * chunk.dt_ns:
            chunk = None
        return replace(frame, rgb=self._picture.draw(frame, patches, chunk, lines), depth_m=None)


class ViewWorker(Worker):
    """Draws at a fixed rate in a thread of its own.

    Args:
        view: What is drawn.
        rate_hz: Pictures per second at most.
        publish: Gets each new picture; a frame is not sent twice.
        failed: See `Worker`.
    """

    def __init__(
        self,
        view: LiveView,
        rate_hz: float,
        publish: Callable[[CameraFrame], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__("view", failed)
        self._view, self._publish = view, publish
        self._period_s = 1.0 / rate_hz
        self._last_ns: int | None = None

    def step(self) -> None:
        """Draw one picture and sleep for the rest of the period."""
        began_s = time.monotonic()
        picture = self._view.picture()
        if picture is not None and picture.stamp_ns != self._last_ns:
            self._last_ns = picture.stamp_ns
            self._publish(picture)
        self._stopping.wait(max(0.0, self._period_s - (time.monotonic() - began_s)))
