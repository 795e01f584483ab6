"""The offline host: a bag through perception and policy again, compared with what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from glue_bringup.loop.bag_task import redetections_of, task_of_bag
from glue_bringup.loop.episode import HostKind
from glue_bringup.loop.pilot import EXPERT, make_runner
from glue_bringup.task_config import TaskConfig
from glue_perception.bags.reader import BagReader
from glue_perception.errors import BagError
from glue_perception.geometry import matrix_from_rotation_6d, rotation_vector
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, Observation, RobotState
from glue_policy.checkpoint import find_checkpoint, load_policy
from glue_policy.runner import PolicyRunner

__all__ = [
    "ReplayComparison",
    "ReplayedFrame",
    "make_replay_runner",
    "redetections_of",
    "replay",
    "task_of_bag",
]


@dataclass(frozen=True)
class ReplayedFrame:
    """One frame of the bag and what perception and policy made of it this time.

    Attributes:
        frame: As recorded.
        patches: Computed now.
        recorded_patches: As recorded, or None.
        chunk: Computed now where a chunk was recorded, else None.
        recorded_chunk: As recorded, or None.
    """

    frame: CameraFrame
    patches: KeyPatches
    recorded_patches: KeyPatches | None
    chunk: ActionChunk | None
    recorded_chunk: ActionChunk | None


def make_replay_runner(
    bag: BagReader, task: TaskConfig, policy: str | None, latencies: LatencyRecorder
) -> PolicyRunner:
    """Return the policy that made the bag's chunks, or another by name.

    Raises:
        CheckpointError: no such checkpoint.
    """
    name = policy or bag.metadata.get("policy", task.policy.checkpoint)
    if name == EXPERT:
        name = task.policy.checkpoint
    return make_runner(
        load_policy(find_checkpoint(name)), task, int(bag.metadata.get("seed", "0")), latencies
    )


def replay(
    bag: BagReader,
    task: TaskConfig,
    runner: PolicyRunner,
    latencies: LatencyRecorder,
    redetections: Mapping[int, int] | None = None,
) -> Iterator[ReplayedFrame]:
    """Yield every frame of the bag with what perception and policy say of it now.

    Args:
        bag: Open.
        task: The bag's own or another.
        runner: The policy.
        latencies: Gets the durations of the stages.
        redetections: See `redetections_of`, to do as the recorded episode did; None to take in everything when it
            is due, for another task than the bag's own.

    Raises:
        BagError: the bag holds no images, or no robot states.
    """
    states = {state.stamp_ns: state for state in bag.robot_states()}
    if not states:
        raise BagError("the bag holds no robot states on /glue/robot_state, so the policy cannot be run")
    recorded_patches = {patches.stamp_ns: patches for patches in bag.key_patches()}
    recorded_chunks = {chunk.stamp_ns: chunk for chunk in bag.chunks()}
    if bag.metadata.get("host") in (HostKind.SYNC, HostKind.PROTOCOL):
        task = task.for_simulation()
    count = 0
    with build_pipeline(task.perception, task.queries, RedetectionMode.WAIT) as pipeline:
        for frame in tqdm(bag.frames(), desc="replay", unit="frame", dynamic_ncols=True):
            if count == 0:
                with latencies.measure("extraction"):
                    pipeline.start(frame, redetections)
                patches = pipeline.key_patches
            else:
                with latencies.measure("perception"):
                    patches = pipeline.update(frame)
            count += 1
            recorded = recorded_chunks.get(frame.stamp_ns)
            chunk = None
            if recorded is not None:
                with latencies.measure("policy"):
                    observation = Observation(frame, patches, _state_at(states, frame.stamp_ns))
                    chunk = runner.infer(observation, frozen=recorded.frozen)
            yield ReplayedFrame(frame, patches, recorded_patches.get(frame.stamp_ns), chunk, recorded)
    if count == 0:
        raise BagError("the bag holds no images on /camera/camera/color/image_raw; was the camera recorded?")


def _state_at(states: dict[int, RobotState], stamp_ns: int) -> RobotState:
    exact = states.get(stamp_ns)
    return exact if exact is not None else states[min(states, key=lambda s: abs(s - stamp_ns))]


class ReplayComparison:
    """Collects how far the replay is from the record."""

    def __init__(self) -> None:
        self._patches: list[bool] = []
        self._chunks: list[bool] = []
        self._position_mm: list[float] = []
        self._rotation_deg: list[float] = []
        self._gripper_mm: list[float] = []
        self._frames = 0

    def add(self, item: ReplayedFrame) -> None:
        """Compare one frame."""
        self._frames += 1
        if item.recorded_patches is not None:
            self._patches.append(_identical_patches(item.patches, item.recorded_patches))
        if item.chunk is not None and item.recorded_chunk is not None:
            self._chunks.append(_identical_chunks(item.chunk, item.recorded_chunk))
            self._add_errors(item.chunk, item.recorded_chunk)

    def report(self, bag: Path, policy: str, latencies: LatencyRecorder) -> dict[str, Any]:
        """Return the comparison as plain JSON values; errors are over all actions that both chunks hold."""
        return {
            "bag": str(bag),
            "policy": policy,
            "frames": self._frames,
            "key_patches_compared": len(self._patches),
            "key_patches_identical": sum(self._patches),
            "chunks_compared": len(self._chunks),
            "chunks_identical": sum(self._chunks),
            "action_error": {
                "position_mm": _spread(self._position_mm),
                "rotation_deg": _spread(self._rotation_deg),
                "gripper_mm": _spread(self._gripper_mm),
            },
            "latency_ms": latencies.summary(),
        }

    def _add_errors(self, now: ActionChunk, then: ActionChunk) -> None:
        n = min(len(now), len(then))
        self._position_mm.extend(1e3 * np.linalg.norm(now.position_m[:n] - then.position_m[:n], axis=1))
        self._gripper_mm.extend(1e3 * np.abs(now.gripper_width_m[:n] - then.gripper_width_m[:n]))
        R_now, R_then = (matrix_from_rotation_6d(c.rotation_6d[:n]) for c in (now, then))
        relative = np.swapaxes(R_then, 1, 2) @ R_now
        self._rotation_deg.extend(float(np.degrees(np.linalg.norm(rotation_vector(R)))) for R in relative)


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "p50": float(np.percentile(values, 50)),
        "p95": float(np.percentile(values, 95)),
        "max": float(max(values)),
    }


def _identical_patches(a: KeyPatches, b: KeyPatches) -> bool:
    fields = ("row_col", "xy_px", "visible", "health", "query_index")
    same = all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)
    return same and a.redetected_from_ns == b.redetected_from_ns


def _identical_chunks(a: ActionChunk, b: ActionChunk) -> bool:
    fields = ("position_m", "rotation_6d", "gripper_width_m")
    same = all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)
    return same and (a.dt_s, a.frozen) == (b.dt_s, b.frozen)
