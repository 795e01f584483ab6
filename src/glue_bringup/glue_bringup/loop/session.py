"""Builds what an episode needs and runs episodes: in the synchronous twin or on the protocol-level robot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import yaml

from glue_bringup.arm.franky_arm import FrankyArm, FrankyArmConfig
from glue_bringup.arm.limits import RobotModel
from glue_bringup.gripper.franky_gripper import FrankyGripper
from glue_bringup.loop.action_source import ActionSource, ExpertSource, PolicySource
from glue_bringup.loop.episode import EpisodeResult, HostKind
from glue_bringup.loop.realtime_loop import RealtimeLoop, Robot
from glue_bringup.loop.sync_loop import SyncLoop
from glue_bringup.recording.episode_recorder import EpisodeRecorder, Outcome
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import TaskConfig
from glue_perception.config import to_mapping
from glue_perception.pipeline import build_pipeline
from glue_perception.provenance import provenance
from glue_perception.timing import LatencyRecorder
from glue_policy.checkpoint import WEIGHTS_FILE, find_checkpoint, load_policy
from glue_policy.policies.base import Policy
from glue_policy.runner import PolicyRunner

EXPERT = "expert"


class Twin(Protocol):
    """What sessions need to know of either twin."""

    @property
    def truth(self) -> object:
        """The simulator's truth now."""
        ...


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
    )


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


class SyncSession:
    """Episodes in one `SyncTwin`, which is reset between them."""

    host = HostKind.SYNC

    def __init__(self, task: TaskConfig, pilot: Pilot) -> None:
        self.latencies = LatencyRecorder()
        self._task = task
        self._pilot = pilot
        self._pipeline = build_pipeline(task.perception, task.queries)

    def __enter__(self) -> Self:
        self._twin = SyncTwin(self._task.task, seed=0, camera=self._task.camera, gains=self._task.gains)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._twin.close()

    def run(self, seed: int, bag: Path | None) -> EpisodeResult:
        """Run one episode; see `SyncLoop.run`."""
        twin = self._twin
        source = self._pilot.source(seed, lambda: twin.truth, self.latencies)
        loop = SyncLoop(self._task, twin, self._pipeline, self.latencies)
        if bag is None:
            return loop.run(seed, source)
        metadata = episode_metadata(
            self._task, self._pilot.name, self.host, seed, twin.T_base_camera.tolist()
        )
        with EpisodeRecorder(bag, metadata) as recorder:
            result = loop.run(seed, source, recorder)
            recorder.close(Outcome.SUCCESS if result.success else Outcome.FAILURE)
        return result


class ProtocolSession:
    """Episodes in real time: a fresh `ProtocolTwin` each, driven through the robot's own driver."""

    host = HostKind.PROTOCOL

    def __init__(self, task: TaskConfig, pilot: Pilot) -> None:
        self.latencies = LatencyRecorder()
        self.real_time_factors: list[float] = []
        self._task = task
        self._pilot = pilot

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing outlives an episode."""

    def run(self, seed: int, bag: Path | None) -> EpisodeResult:
        """Start the twin, connect the driver, run one episode; see `RealtimeLoop.run`."""
        task = self._task
        pipeline = build_pipeline(task.perception, task.queries)
        with ExitStack() as stack:
            twin = stack.enter_context(ProtocolTwin(task.task, seed=seed, camera=task.camera))
            gripper = FrankyGripper(twin.robot_ip)
            stack.callback(gripper.stop)
            arm = FrankyArm(
                FrankyArmConfig(robot_ip=twin.robot_ip, robot_model=RobotModel.FR3),
                task.gains,
                gripper.width_m,
            )
            stack.callback(arm.stop)
            recorder = None
            if bag is not None:
                metadata = episode_metadata(
                    task, self._pilot.name, self.host, seed, twin.T_base_camera.tolist()
                )
                recorder = stack.enter_context(EpisodeRecorder(bag, metadata))
            loop = RealtimeLoop(
                task,
                Robot(arm, gripper, twin.camera, RobotModel.FR3),
                pipeline,
                self._pilot.source(seed, lambda: twin.truth, self.latencies),
                self.latencies,
                recorder,
            )
            result = loop.run(seed, lambda: twin.status().success)
            self.real_time_factors.append(twin.status().real_time_factor)
            if recorder is not None:
                recorder.close(Outcome.SUCCESS if result.success else Outcome.FAILURE)
        return result


def episode_metadata(
    task: TaskConfig, policy: str, host: HostKind, seed: int, T_base_camera: list[list[float]]
) -> dict[str, str]:
    """Return what a bag says about itself: enough to replay it without any other file but the checkpoint."""
    return {
        "task": task.task,
        "instruction": task.instruction,
        "queries": json.dumps(list(task.queries)),
        "policy": policy,
        "host": host.value,
        "seed": str(seed),
        "task_config": yaml.safe_dump(to_mapping(task), sort_keys=False),
        "T_base_camera": json.dumps(T_base_camera),
        **provenance(),
    }
