"""Small episodes for the tests of bags: random values that fill every bit of their fields."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glue_perception.bags.writer import BagWriter
from glue_perception.geometry import make_transform, matrix_from_rotation_vector
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

T0_NS = 1_700_000_000_123_456_789
FRAME_NS = 33_333_333
K = np.array([[601.7, 0, 319.5], [0, 602.3, 239.5], [0, 0, 1]])

ITERATORS = (
    "frames",
    "robot_states",
    "key_patches",
    "chunks",
    "demonstrated_actions",
    "targets",
    "safety_events",
)
"""All that a reader gives."""


class Episode:
    """Values of one short episode."""

    def __init__(self, seed: int = 0, frames: int = 4, size: tuple[int, int] = (24, 32)) -> None:
        self.rng = np.random.default_rng(seed)
        self.stamps = [T0_NS + k * FRAME_NS for k in range(frames)]
        self.frames = [self.frame(t, size) for t in self.stamps]
        self.states = [self.state(t) for t in self.stamps]
        self.patches = [self.key_patches(t) for t in self.stamps]
        self.chunks = [self.chunk(t, 16) for t in self.stamps[::2]]
        self.demonstrated = [self.chunk(t, 1) for t in self.stamps[::2]]
        self.targets = [(t, self.pose()) for t in self.stamps]

    def frame(self, stamp_ns: int, size: tuple[int, int]) -> CameraFrame:
        rgb = self.rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        return CameraFrame(stamp_ns, "camera_color_optical_frame", rgb, K)

    def pose(self) -> np.ndarray:
        rotation = matrix_from_rotation_vector(self.rng.normal(size=3))
        return make_transform(rotation, self.rng.normal(size=3))

    def state(self, stamp_ns: int) -> RobotState:
        q, dq = self.rng.normal(size=(2, 7))
        # Not every driver reports what the tool feels, so that one state of a bag may and another may not.
        wrench = self.rng.normal(size=6) if self.rng.random() < 0.5 else None
        return RobotState(stamp_ns, q, dq, self.pose(), float(self.rng.uniform(0, 0.08)), wrench)

    def key_patches(self, stamp_ns: int, n: int = 5) -> KeyPatches:
        health = self.rng.integers(0, 3, n)
        return KeyPatches(
            stamp_ns=stamp_ns,
            row_col=self.rng.integers(0, 28, (n, 2)),
            xy_px=self.rng.normal(size=(n, 2)) * 100,
            visible=(health == 0) & (self.rng.random(n) < 0.5),
            health=health,
            query_index=self.rng.integers(0, 3, n),
            redetected_from_ns=stamp_ns - 500_000_000,
        )

    def chunk(self, stamp_ns: int, horizon: int) -> ActionChunk:
        return ActionChunk(
            stamp_ns,
            0.1,
            self.rng.normal(size=(horizon, 3)),
            self.rng.normal(size=(horizon, 6)),
            self.rng.uniform(0, 0.08, horizon),
        )

    def write(self, path: Path, metadata: dict[str, str] | None = None) -> Path:
        with BagWriter(path, metadata or {"task": "push_button"}) as bag:
            for _ in self.steps(bag):
                pass
        return path

    def steps(self, bag: BagWriter) -> Iterator[None]:
        """Write frame by frame, pausing after each."""
        for k, frame in enumerate(self.frames):
            bag.frame(frame)
            bag.robot_state(self.states[k])
            bag.key_patches(self.patches[k])
            if k % 2 == 0:
                bag.chunk(self.chunks[k // 2])
                bag.demonstrated_action(self.demonstrated[k // 2])
            bag.target(*self.targets[k])
            yield
        bag.safety_event(self.stamps[-1], "hold", "stale frame: 0.31 s")


def same(a: object, b: object) -> bool:
    """Whether two value types are equal to the last bit."""
    fields = a.__dataclass_fields__  # type: ignore[attr-defined]
    return all(_same(getattr(a, f), getattr(b, f)) for f in fields)


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return bool(a == b)


def read_all(bag) -> dict[str, list]:
    """Everything that a reader gives."""
    return {name: list(getattr(bag, name)()) for name in ITERATORS}
