"""Perception in a thread of its own: the newest frame in, key-patches out, extraction on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.worker import Worker
from glue_perception.errors import HardwareError
from glue_perception.pipeline import PerceptionPipeline
from glue_perception.timing import LatencyRecorder
from glue_perception.types import CameraFrame, KeyPatches

WAIT_S = 0.1


class PerceptionWorker(Worker):
    """Runs a pipeline on the newest frame; older ones that it had no time for are skipped.

    Args:
        pipeline: Started by `extract`; closed by its owner once the worker has stopped.
        found: Gets the key-patches of every frame, in this thread.
        latencies: Gets the durations.
        failed: See `Worker`.
        redetections: To repeat a recorded episode, see `redetections_of`.
    """

    def __init__(
        self,
        pipeline: PerceptionPipeline,
        found: Callable[[KeyPatches], None],
        latencies: LatencyRecorder,
        failed: Callable[[BaseException], None],
        redetections: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__("perception", failed)
        self._redetections = redetections
        self._pipeline = pipeline
        self._found = found
        self._latencies = latencies
        self._frames: Mailbox[CameraFrame] = Mailbox()
        self._tracking = False

    @property
    def tracking(self) -> bool:
        """Whether objects were found and are being tracked."""
        return self._tracking

    def offer(self, frame: CameraFrame) -> None:
        """Leave a frame. Any thread."""
        self._frames.put(frame)

    def extract(self, timeout_s: float) -> KeyPatches:
        """Find the objects in the next frame and track them from then on. Any thread but the worker's.

        Raises:
            QueryError: an object is absent or ambiguous; nothing is tracked then.
            HardwareError: no frame came.
            NotReadyError: it took longer than `timeout_s`.
        """
        result: KeyPatches = self.ask(lambda: self._extract(timeout_s), timeout_s + 1.0)
        return result

    def step(self) -> None:
        """Track the objects into the newest frame."""
        frame = self._frames.take(WAIT_S)
        if frame is None or not self._tracking:
            return
        with self._latencies.measure("perception"):
            patches = self._pipeline.update(frame)
        self._give(patches)

    def _extract(self, timeout_s: float) -> KeyPatches:
        self._tracking = False
        self._frames.take(0.0)  # it may be from before the request
        frame = self._frames.take(timeout_s)
        if frame is None:
            raise HardwareError(f"no camera frame came within {timeout_s:g} s; is the camera's node running?")
        with self._latencies.measure("extraction"):
            self._pipeline.start(frame, self._redetections)
        self._tracking = True
        patches = self._pipeline.key_patches
        self._give(patches)
        return patches

    def _give(self, patches: KeyPatches) -> None:
        self._latencies.add("capture_to_patches", (time.time_ns() - patches.stamp_ns) / 1e6)
        self._found(patches)
