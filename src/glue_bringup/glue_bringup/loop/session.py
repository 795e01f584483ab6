"""What every session is: something that runs seeded episodes one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import yaml

from glue_bringup.loop.episode import EpisodeResult, HostKind
from glue_bringup.sim.ood import IN_DOMAIN, Condition
from glue_bringup.task_config import TaskConfig
from glue_perception.config import to_mapping
from glue_perception.provenance import provenance
from glue_perception.timing import LatencyRecorder


class Session(Protocol):
    """Runs episodes one after the other and collects their latencies."""

    host: HostKind
    latencies: LatencyRecorder

    def run(self, seed: int, bag: Path | None) -> EpisodeResult:
        """Run the episode of `seed`, recorded to `bag` if given."""
        ...

    def __enter__(self) -> Self:
        """Start what the session holds."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free what the session holds."""
        ...


def episode_metadata(
    task: TaskConfig,
    policy: str,
    host: HostKind,
    seed: int,
    T_base_camera: list[list[float]],
    condition: Condition = IN_DOMAIN,
) -> dict[str, str]:
    """Return what a bag says about itself: enough to replay it without any other file but the checkpoint."""
    return {
        "task": task.task,
        "instruction": task.instruction,
        "queries": json.dumps(list(task.queries)),
        "policy": policy,
        "host": host.value,
        "seed": str(seed),
        "condition": condition.name,
        "task_config": yaml.safe_dump(to_mapping(task), sort_keys=False),
        "T_base_camera": json.dumps(T_base_camera),
        **provenance(),
    }
