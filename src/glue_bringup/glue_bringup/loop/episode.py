"""One episode's outcome, and the report over several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from glue_bringup.safety.chunk_executor import SeamJump
from glue_perception.timing import LatencyRecorder
from glue_policy.evaluation.statistics import wilson_interval


class HostKind(StrEnum):
    """Which host ran the episode."""

    SYNC = "sync"
    PROTOCOL = "protocol"
    GRAPH = "ros2"


@dataclass(frozen=True)
class EpisodeResult:
    """What happened in one episode.

    Attributes:
        seed: Seed of layout, start pose and policy.
        success: Whether the task's own test was met.
        duration_s: From the first control tick to success or the end, in the host's clock.
        frames: Frames that went through perception.
        frames_missed: Frames that the camera made and perception did not see.
        chunks: Chunks handed to the safety supervisor.
        deadlines: How many chunks were due.
        deadline_misses: Chunks that came later than one policy period after their frame's capture, or not at all.
        tracked_share: Mean share of key-patches in health TRACKED.
        holds: How often the safety supervisor held the arm, by reason.
        perception_events: How often the camera's stream was at fault, and what became of searches for lost objects;
            only what happened.
        seam_jumps: How far the target stepped where a chunk took over from the one before: `p50_mm`, `p95_mm`,
            `max_mm`, `p95_deg`; empty without any.
        bag: Where the episode was recorded, or empty.
        failure: Why the episode could not begin, or empty.
    """

    seed: int
    success: bool
    duration_s: float
    frames: int
    frames_missed: int
    chunks: int
    deadlines: int
    deadline_misses: int
    tracked_share: float
    holds: dict[str, int] = field(default_factory=dict)
    perception_events: dict[str, int] = field(default_factory=dict)
    seam_jumps: dict[str, float] = field(default_factory=dict)
    bag: str = ""
    failure: str = ""


FIRST_FRAME_REFUSED = "first_frame_refused"


def refused_episode(seed: int, reason: str) -> EpisodeResult:
    """Return the result of an episode that could not begin: perception refused its first frame for this reason."""
    return EpisodeResult(
        seed=seed,
        success=False,
        duration_s=0.0,
        frames=0,
        frames_missed=0,
        chunks=0,
        deadlines=0,
        deadline_misses=0,
        tracked_share=0.0,
        perception_events={FIRST_FRAME_REFUSED: 1},
        failure=" ".join(reason.split()),
    )


def summarise_jumps(jumps: Sequence[SeamJump]) -> dict[str, float]:
    """Return `EpisodeResult.seam_jumps`."""
    if not jumps:
        return {}
    steps_mm = np.array([1e3 * jump.position_m for jump in jumps])
    turns_deg = np.degrees([jump.rotation_rad for jump in jumps])
    values = {
        "p50_mm": np.percentile(steps_mm, 50),
        "p95_mm": np.percentile(steps_mm, 95),
        "max_mm": steps_mm.max(),
        "p95_deg": np.percentile(turns_deg, 95),
    }
    return {name: round(float(value), 3) for name, value in values.items()}


def summarise(
    task: str,
    host: HostKind,
    policy: str,
    seed: int,
    results: Sequence[EpisodeResult],
    latencies: LatencyRecorder,
    git_revision: str,
    condition: str = "in_domain",
) -> dict[str, Any]:
    """Return the report of a run as plain JSON values.

    `control_hz` is chunks per second of the host's clock, `perception_hz` frames per second; `wilson_95` is the
    Wilson interval of the success rate at 95 %.
    """
    successes = sum(r.success for r in results)
    seconds = sum(r.duration_s for r in results)
    low, high = wilson_interval(successes, len(results))
    return {
        "task": task,
        "host": host.value,
        "condition": condition,
        "policy": policy,
        "episodes": len(results),
        "successes": successes,
        "success_rate": round(successes / len(results), 4) if results else 0.0,
        "wilson_95": [round(low, 4), round(high, 4)],
        "control_hz": round(sum(r.chunks for r in results) / seconds, 3) if seconds else 0.0,
        "perception_hz": round(sum(r.frames for r in results) / seconds, 3) if seconds else 0.0,
        "deadlines": sum(r.deadlines for r in results),
        "deadline_misses": sum(r.deadline_misses for r in results),
        "latency_ms": latencies.summary(),
        "seed": seed,
        "git_revision": git_revision,
        "results": [vars(r) for r in results],
    }
