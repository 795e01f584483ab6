"""One task, one YAML file: what to look for, how to perceive, what to run, how to stay safe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from glue_bringup.arm.impedance_gains import ImpedanceGains
from glue_bringup.latency_config import LatencyConfig
from glue_bringup.robot_config import RobotConfig
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.sim.camera_config import CameraConfig
from glue_perception.config import from_mapping, load_config, read_yaml, suggest
from glue_perception.errors import ConfigError
from glue_perception.nets.compute import Device
from glue_perception.pipeline import PerceptionConfig
from glue_policy.chunk_seams import SeamConfig
from glue_policy.engines.config import EngineConfig

TASKS_DIRECTORY = Path(__file__).parent / "config" / "tasks"


@dataclass(frozen=True)
class PolicyConfig:
    """Which policy runs and how often.

    Attributes:
        checkpoint: A checkpoint directory, or the name of a shipped one.
        rate_hz: Chunks per second; demonstrations are sampled at the same rate (paper, V-A: 10 Hz).
        num_inference_steps: DDIM steps per chunk.
        torch_threads: Threads of the network; part of the record, since it can change the last bit of a result.
        sync_latency_s: Delay from capture to chunk that the synchronous twin imposes, about what the real-time
            loop has.
        engine: What computes the policy; live episodes and replays share it.
        seams: How a chunk goes on from the one before.
    """

    checkpoint: str
    rate_hz: float = 10.0
    num_inference_steps: int = 10
    torch_threads: int = 1
    sync_latency_s: float = 0.06
    engine: EngineConfig = field(default_factory=EngineConfig)
    seams: SeamConfig = field(default_factory=SeamConfig)

    def __post_init__(self) -> None:
        if not 0.5 <= self.rate_hz <= 30.0:
            raise ValueError(f"rate_hz must lie in 0.5..30, not {self.rate_hz}")
        if not 1 <= self.num_inference_steps <= 100:
            raise ValueError(f"num_inference_steps must lie in 1..100, not {self.num_inference_steps}")
        if not 1 <= self.torch_threads <= 64:
            raise ValueError(f"torch_threads must lie in 1..64, not {self.torch_threads}")
        if not 0.0 <= self.sync_latency_s < 1.0:
            raise ValueError(f"sync_latency_s must lie in 0..1, not {self.sync_latency_s}")


@dataclass(frozen=True)
class TaskConfig:
    """All that one task needs.

    Attributes:
        task: Name; in the twin also the scene and its success test.
        instruction: For people and for the record.
        queries: One text per task-relevant object (paper, III-B).
        policy: See `PolicyConfig`.
        max_duration_s: An episode without success ends here.
        settle_s: An episode goes on this long after success, so that its end is recorded too.
        control_rate_hz: Rate of the safety supervisor and of the arm's targets.
        perception: Back-ends by name.
        camera: The twin's camera.
        safety: Workspace, limits, watchdogs.
        gains: Cartesian impedance, for robot and twin alike.
        robot: Model, reactions to contact, payload and hand.
        latencies: As measured; in a task's own YAML also the path of a file that `glue calibrate latency` wrote.
    """

    task: str
    instruction: str
    queries: tuple[str, ...]
    policy: PolicyConfig
    max_duration_s: float = 12.0
    settle_s: float = 0.5
    control_rate_hz: float = 100.0
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    gains: ImpedanceGains = field(default_factory=ImpedanceGains)
    robot: RobotConfig = field(default_factory=RobotConfig)
    latencies: LatencyConfig = field(default_factory=LatencyConfig)

    def __post_init__(self) -> None:
        if self.latencies.compensate:
            lead_s = max(0.0, self.latencies.arm_s + self.latencies.camera_stamp_s)
            executor = replace(self.safety.executor, lead_s=lead_s)
            object.__setattr__(self, "safety", replace(self.safety, executor=executor))
        if not self.queries:
            raise ValueError("queries must name at least one object")
        if not 1.0 <= self.max_duration_s <= 600.0:
            raise ValueError(f"max_duration_s must lie in 1..600, not {self.max_duration_s}")
        if not 100.0 <= self.control_rate_hz <= 1000.0:
            raise ValueError(f"control_rate_hz must lie in 100..1000, not {self.control_rate_hz}")
        if self.settle_s < 0:
            raise ValueError(f"settle_s must not be negative, not {self.settle_s}")

    def for_simulation(self) -> TaskConfig:
        """Return the task for a simulated camera.

        It has no noise: whenever nothing moves its picture repeats to the last bit, which on a robot would mean that
        the camera hangs. Every host of a twin runs this task and records it, so that a replay does the same.
        """
        stream = replace(self.perception.stream, max_frozen_s=None)
        return replace(self, perception=replace(self.perception, stream=stream))

    def with_perception(self, profile: str = "", device: str = "") -> TaskConfig:
        """Return the task with another perception profile or device; an empty word leaves the task's own.

        Raises:
            ConfigError: no such profile or device.
        """
        changes: dict[str, Any] = {}
        if profile:
            changes["profile"] = profile
        if device:
            known = [d.value for d in Device]
            if device not in known:
                raise ConfigError(f"unknown device {device!r}.{suggest(device, known)}")
            changes["device"] = Device(device)
        return replace(self, perception=replace(self.perception, **changes)) if changes else self

    def without_key_patches(self) -> TaskConfig:
        """Return the task for a policy that looks at the whole image only: lost tracks do not hold the arm."""
        watchdogs = replace(self.safety.watchdogs, warn_tracked_share=0.0, hold_tracked_share=0.0)
        return replace(self, safety=replace(self.safety, watchdogs=watchdogs))

    def with_depth(self) -> TaskConfig:
        """Return the task with a camera that measures depth, for a policy on point clouds."""
        return replace(self, camera=replace(self.camera, depth=True))


def load_task(name_or_path: str) -> TaskConfig:
    """Return a shipped task by name, or the one in a YAML file by path.

    Raises:
        ConfigError: no such task or file, or a wrong key or value in it.
    """
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        return _load_file(Path(name_or_path))
    known = {path.stem: path for path in TASKS_DIRECTORY.glob("*.yaml")}
    if name_or_path not in known:
        raise ConfigError(f"unknown task {name_or_path!r}.{suggest(name_or_path, known)}")
    return load_config(TaskConfig, known[name_or_path])


def _load_file(path: Path) -> TaskConfig:
    """Return a user's task; `latencies` may name a file, relative to the task's, with a section of that name."""
    data = read_yaml(path)
    latencies = data.get("latencies")
    if isinstance(latencies, str):
        other = path.parent / latencies
        data["latencies"] = read_yaml(other).get("latencies")
        if not isinstance(data["latencies"], dict):
            raise ConfigError(
                f"{path}: latencies: {other} has no section 'latencies'; write it with 'glue calibrate latency'"
            )
    return from_mapping(TaskConfig, data, str(path))
