"""Stands where the pipeline stands for policies that look at the whole image only."""

from __future__ import annotations

import numpy as np

from glue_perception.redetection.config import RedetectionCounts
from glue_perception.stream_monitor import StreamCounts
from glue_perception.types import CameraFrame, KeyPatches


class NoPerception:
    """Gives no key-patches for every frame, so that an episode neither waits for objects nor fails for want of them.

    A method that never asks where the objects are must not be judged by whether they were found, nor pay for it.
    """

    stream_counts = StreamCounts()
    redetection_counts = RedetectionCounts()
    key_patches: KeyPatches

    def start(self, frame: CameraFrame) -> None:
        """Begin an episode."""
        self.key_patches = _none(frame.stamp_ns)

    def update(self, frame: CameraFrame) -> KeyPatches:
        """Return no key-patches of this frame."""
        self.key_patches = _none(frame.stamp_ns)
        return self.key_patches

    def close(self) -> None:
        """Nothing to free."""


def _none(stamp_ns: int) -> KeyPatches:
    return KeyPatches(
        stamp_ns=stamp_ns,
        row_col=np.zeros((0, 2), np.int64),
        xy_px=np.zeros((0, 2)),
        visible=np.zeros(0, np.bool_),
        health=np.zeros(0, np.int64),
        query_index=np.zeros(0, np.int64),
    )
