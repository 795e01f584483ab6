"""Demonstrations of a few steps, written as bags without a simulator."""

from pathlib import Path

import numpy as np

from glue_perception.bags.writer import BagWriter
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

DT_NS = 100_000_000


def record(path: Path, task: str = "push_button", steps: int = 4, seed: int = 0) -> Path:
    """Write a demonstration under `path` and return that."""
    with BagWriter(path / "episode_000000", {"task": task, "seed": str(seed)}) as bag:
        for k in range(steps):
            stamp_ns = (k + 1) * DT_NS
            bag.frame(CameraFrame(stamp_ns, "camera", np.full((48, 64, 3), 20 * k, np.uint8), np.eye(3)))
            xy_px, one = np.array([[10.0, 10.0 + k]]), np.zeros(1, dtype=np.int64)
            cell = np.array([[5, 4]])
            bag.key_patches(KeyPatches(stamp_ns, cell, xy_px, np.ones(1, dtype=bool), one, one))
            bag.robot_state(RobotState(stamp_ns, np.full(7, 0.1 * k), np.zeros(7), np.eye(4), 0.02))
            rotation_6d = np.array([[1.0, 0, 0, 0, -1.0, 0]])
            position_m = np.array([[0.4, 0.0, 0.3 - 0.01 * k]])
            bag.demonstrated_action(ActionChunk(stamp_ns, 0.1, position_m, rotation_6d, np.array([0.02])))
    return path
