"""Who flies: a checkpoint, loaded once, or the scripted expert; gives each episode its source of actions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from glue_bringup.loop.action_source import ActionSource, ExpertSource, PolicySource
from glue_bringup.sim.experts import get_expert
from glue_bringup.task_config import TaskConfig
from glue_perception.timing import LatencyRecorder
from glue_policy.checkpoint import WEIGHTS_FILE, find_checkpoint, load_policy
from glue_policy.policies.base import Policy
from glue_policy.runner import PolicyRunner

EXPERT = "expert"


class Pilot:
    """Makes the source of actions for each episode: a checkpoint, loaded once, or the expert.

    Args:
        task: Names the expert, the rates and the threads.
        policy: `expert`, a checkpoint directory, or the name of a shipped one; None for the task's own.
        noise_m: Disturbance of the expert.

    Attributes:
        name: As given, or the task's own checkpoint.
        fingerprint: SHA-256 of the weights, or `expert`.

    Raises:
        CheckpointError: the checkpoint is missing, corrupt or of another kind.
    """

    def __init__(self, task: TaskConfig, policy: str | None, noise_m: float = 0.0) -> None:
        self.name = policy or task.policy.checkpoint
        self._task = task
        self._noise_m = noise_m
        self._policy: Policy | None = None
        self.fingerprint = EXPERT
        if self.name != EXPERT:
            directory = find_checkpoint(self.name)
            self._policy = load_policy(directory)
            self.fingerprint = hashlib.sha256((directory / WEIGHTS_FILE).read_bytes()).hexdigest()

    def source(self, seed: int, truth: Callable[[], object], latencies: LatencyRecorder) -> ActionSource:
        """Return the source for the episode of `seed`."""
        dt_s = 1.0 / self._task.policy.rate_hz
        if self._policy is None:
            return ExpertSource(get_expert(self._task.task), truth, dt_s, self._noise_m, seed)
        return PolicySource(make_runner(self._policy, self._task, seed, latencies))


def make_runner(policy: Policy, task: TaskConfig, seed: int, latencies: LatencyRecorder) -> PolicyRunner:
    """Return the runner that live episodes and replays share."""
    return PolicyRunner(
        policy,
        seed=seed,
        dt_s=1.0 / task.policy.rate_hz,
        num_inference_steps=task.policy.num_inference_steps,
        torch_threads=task.policy.torch_threads,
        latencies=latencies,
        engine=task.policy.engine,
        seams=task.policy.seams,
    )
