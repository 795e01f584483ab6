"""Episodes in real time on the protocol-level twin, through the robot's own driver."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from glue_bringup.arm.franky_arm import FrankyArm
from glue_bringup.arm.limits import RobotModel
from glue_bringup.gripper.franky_gripper import FrankyGripper
from glue_bringup.loop.episode import EpisodeResult, HostKind, refused_episode
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.realtime_loop import RealtimeLoop, Robot
from glue_bringup.loop.session import episode_metadata
from glue_bringup.recording.episode_recorder import EpisodeRecorder, Outcome
from glue_bringup.sim.ood import IN_DOMAIN, Condition
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.task_config import TaskConfig
from glue_perception.errors import ConfigError, QueryError
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import LatencyRecorder


class ProtocolSession:
    """Episodes in real time: a fresh `ProtocolTwin` each, driven through the robot's own driver.

    Raises:
        ConfigError: a policy or task that needs depth.
    """

    host = HostKind.PROTOCOL

    def __init__(self, task: TaskConfig, pilot: Pilot, condition: Condition = IN_DOMAIN) -> None:
        if pilot.needs_depth or task.camera.depth:
            raise ConfigError("the camera of the real-time twin measures no depth; run it with --sync")
        self.latencies = LatencyRecorder()
        self._task = task.for_simulation()
        self._pilot = pilot
        self._condition = condition

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing outlives an episode."""

    def run(self, seed: int, bag: Path | None) -> EpisodeResult:
        """Start the twin, connect the driver, run one episode; see `RealtimeLoop.run`.

        Out of distribution, a refused first frame is a failed episode.
        """
        task = self._task
        with ExitStack() as stack:
            pipeline = stack.enter_context(
                build_pipeline(task.perception, task.queries, RedetectionMode.BACKGROUND)
            )
            twin = stack.enter_context(ProtocolTwin(task.task, seed, task.camera, self._condition))
            gripper = FrankyGripper(twin.robot_ip, task.robot.gripper)
            stack.callback(gripper.stop)
            arm = FrankyArm(
                task.robot.arm_config(twin.robot_ip, RobotModel.FR3),
                task.gains,
                gripper.width_m,
            )
            stack.callback(arm.stop)
            recorder = None
            if bag is not None:
                metadata = episode_metadata(
                    task, self._pilot.name, self.host, seed, twin.T_base_camera.tolist(), self._condition
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
            try:
                result = loop.run(seed, lambda: twin.status().success)
            except QueryError as error:
                if self._condition == IN_DOMAIN:
                    raise
                result = refused_episode(seed, str(error))
            if recorder is not None:
                recorder.close(Outcome.SUCCESS if result.success else Outcome.FAILURE)
        return result
