"""Demonstrations by teleoperation in the real-time twin: through the robot's driver, supervisor and recorder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from glue_bringup.arm.franky_arm import FrankyArm
from glue_bringup.arm.limits import RobotModel
from glue_bringup.gripper.franky_gripper import FrankyGripper
from glue_bringup.loop.action_source import ActionSource, ExpertSource
from glue_bringup.loop.episode import HostKind
from glue_bringup.loop.pilot import EXPERT
from glue_bringup.loop.realtime_loop import RealtimeLoop, Robot
from glue_bringup.loop.session import episode_metadata
from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder, RecordedEpisode
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.task_config import TaskConfig
from glue_bringup.teleop.config import TeleopConfig
from glue_bringup.teleop.device import TeleopDevice
from glue_bringup.teleop.motion import TeleopState
from glue_bringup.teleop.operator import AutomaticOperator, Operator, OperatorCommand
from glue_bringup.teleop.source import TeleopSource
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import LatencyRecorder

STATUS_S = 1.0
VERDICTS = (OperatorCommand.SUCCESS, OperatorCommand.FAILURE, OperatorCommand.DISCARD)


class RecordSession:
    """Records episodes one after the other, a fresh twin each.

    Args:
        task: In the twin; its time limit is the episode's.
        recorder: Gets the episodes.
        device: Who moves the arm; None for the scripted expert.
        operator: Says when; None to start at once and let the task's own test judge.
        teleop: Of the device.
        noise_m: Disturbance of the expert.
        say: Gets lines for the operator.
    """

    def __init__(
        self,
        task: TaskConfig,
        recorder: DemonstrationRecorder,
        device: TeleopDevice | None,
        operator: Operator | None,
        teleop: TeleopConfig,
        noise_m: float = 0.0,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ) -> None:
        # An operator who has given the verdict is done; the expert's end is recorded as `glue sim` does.
        settle_s = 0.0 if operator is not None else task.settle_s
        self._task = replace(task.for_simulation(), settle_s=settle_s)
        self._recorder = recorder
        self._device = device
        self._operator = operator
        self._teleop = teleop
        self._noise_m = noise_m
        self._say = say
        self._said_at_s = 0.0
        self._quit = False

    @property
    def over(self) -> bool:
        """Whether the operator wants no more."""
        return self._quit

    def run(self, seed: int) -> RecordedEpisode | None:
        """Record one episode; None if the operator quit before it began.

        Raises:
            HardwareError: arm, gripper or camera failed; the arm was stopped and the episode is recorded as aborted.
            QueryError: the first image does not show the task's objects; likewise.
        """
        task = self._task
        with ExitStack() as stack:
            pipeline = stack.enter_context(
                build_pipeline(task.perception, task.queries, RedetectionMode.BACKGROUND)
            )
            twin = stack.enter_context(ProtocolTwin(task.task, seed, task.camera))
            gripper = FrankyGripper(twin.robot_ip)
            stack.callback(gripper.stop)
            arm = FrankyArm(
                task.robot.arm_config(twin.robot_ip, RobotModel.FR3),
                task.gains,
                gripper.width_m,
            )
            stack.callback(arm.stop)
            operator = self._operator or AutomaticOperator(lambda: twin.status().success)
            if not self._wait_for_start(operator):
                return None
            said = episode_metadata(task, EXPERT, HostKind.PROTOCOL, seed, twin.T_base_camera.tolist())
            stack.callback(self._recorder.close)  # as aborted, if something goes wrong before the verdict
            path = self._recorder.start({**said, "demonstrator": self._demonstrator})
            self._say(f"recording {path}")
            latencies = LatencyRecorder()
            robot = Robot(arm, gripper, twin.camera, RobotModel.FR3)
            source = self._source(seed, lambda: twin.truth)
            loop = RealtimeLoop(task, robot, pipeline, source, latencies, self._recorder)
            verdict: list[OperatorCommand] = []
            loop.run(seed, lambda: self._is_over(operator, verdict))
            self._recorder.stop()
            return self._finish(operator, verdict)

    @property
    def _demonstrator(self) -> str:
        return EXPERT if self._device is None else self._device.name

    def _source(self, seed: int, truth: Callable[[], object]) -> ActionSource:
        dt_s = 1.0 / self._task.policy.rate_hz
        if self._device is None:
            return ExpertSource(get_expert(self._task.task), truth, dt_s, self._noise_m, seed)
        return TeleopSource(
            self._device, self._teleop, self._task.safety.workspace, dt_s, self._on_teleop_state
        )

    def _on_teleop_state(self, stamp_ns: int, state: TeleopState) -> None:
        """Put it on record why the arm moves or not."""
        self._recorder.safety_event(stamp_ns, "teleop", state.value)
        if state not in (TeleopState.MOVING, TeleopState.AT_REST):
            self._say(f"the arm does not follow: {state.value}")

    def _wait_for_start(self, operator: Operator) -> bool:
        self._say("ready; Enter starts")
        while True:
            command = operator.take(0.1)
            if command is OperatorCommand.QUIT:
                self._quit = True
                return False
            if command is OperatorCommand.START:
                return True

    def _is_over(self, operator: Operator, verdict: list[OperatorCommand]) -> bool:
        now_s = time.monotonic()
        if now_s - self._said_at_s > STATUS_S:
            self._said_at_s = now_s
            self._say(self._recorder.status())
        command = operator.take(0.0)
        if command is None or command is OperatorCommand.START:
            return False
        verdict.append(command)
        return True

    def _finish(self, operator: Operator, verdict: list[OperatorCommand]) -> RecordedEpisode:
        command = verdict[-1] if verdict else OperatorCommand.STOP
        if command is OperatorCommand.STOP and self._operator is None:
            command = OperatorCommand.FAILURE  # the task's own test was not met in time
        if command is OperatorCommand.STOP:
            self._say("stopped; y success, n failure, Backspace discard")
        while command not in (*VERDICTS, OperatorCommand.QUIT):
            command = operator.take(0.1) or command
        self._quit = command is OperatorCommand.QUIT
        if command is OperatorCommand.SUCCESS:
            return self._recorder.success()
        if command is OperatorCommand.DISCARD:
            return self._recorder.discard()
        if command is OperatorCommand.FAILURE:
            return self._recorder.failure()
        return self._recorder.abort()
