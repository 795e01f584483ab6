"""Who flies: a checkpoint, loaded once, or the scripted expert; gives each episode its source of actions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from glue_bringup.loop.action_source import ActionSource, ExpertSource, PolicySource
from glue_bringup.sim.experts import get_expert
from glue_bringup.task_config import TaskConfig
from glue_perception.timing import LatencyRecorder
from glue_policy.checkpoint import WEIGHTS_FILE, find_checkpoint, load_policy
from glue_policy.policies.base import KEY_PATCH_KEYS, Policy
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
        kind: Name of the policy in the checkpoint, e.g. `glue`, or `expert`.
        fingerprint: SHA-256 of the weights, or `expert`.
        needs_key_patches: Whether perception has to find and track the objects for it. The expert does not look at
            them, but its episodes are demonstrations, which hold them.
        needs_depth: Whether it reads point clouds, so that the camera has to measure depth.

    Raises:
        CheckpointError: the checkpoint is missing, corrupt or of another kind.
    """

    def __init__(self, task: TaskConfig, policy: str | None, noise_m: float = 0.0) -> None:
        self.name = policy or task.policy.checkpoint
        self._task = task
        self._noise_m = noise_m
        self._policy: Policy | None = None
        self._runner: PolicyRunner | None = None
        self.kind, self.fingerprint, self.needs_key_patches = EXPERT, EXPERT, True
        self.needs_depth = False
        if self.name != EXPERT:
            directory = find_checkpoint(self.name)
            self._policy = load_policy(directory)
            self.kind = self._policy.name
            self.needs_key_patches = self._policy.needs >= KEY_PATCH_KEYS
            self.needs_depth = "points" in self._policy.needs
            self.fingerprint = hashlib.sha256((directory / WEIGHTS_FILE).read_bytes()).hexdigest()

    def source(
        self,
        seed: int,
        truth: Callable[[], object],
        latencies: LatencyRecorder,
        frozen: Mapping[int, int] | None = None,
    ) -> ActionSource:
        """Return the source for the episode of `seed`; `frozen` as of `PolicySource`."""
        dt_s = 1.0 / self._task.policy.rate_hz
        if self._policy is None:
            return ExpertSource(get_expert(self._task.task), truth, dt_s, self._noise_m, seed)
        if self._runner is None:
            self._runner = make_runner(self._policy, self._task, seed, latencies)
        # Recording a policy's graphs takes longer than the inference of a whole episode, so it is done once.
        return PolicySource(self._runner.with_seed(seed, latencies), frozen)


def make_runner(policy: Policy, task: TaskConfig, seed: int, latencies: LatencyRecorder) -> PolicyRunner:
    """Return the runner that live episodes and replays share."""
    return PolicyRunner(
        policy,
        seed=seed,
        dt_s=1.0 / task.policy.rate_hz,
        num_inference_steps=task.policy.num_inference_steps,
        torch_threads=task.policy.torch_threads,
        latencies=latencies,
        T_base_camera=task.camera.T_base_camera,
        engine=task.policy.engine,
        seams=task.policy.seams,
    )
