"""`arm_node`: the sole source of robot targets: supervisor, arm and gripper behind topics and services."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from glue_msgs.msg import ActionChunk, ChunkExecution, KeyPatchArray, RobotState, SafetyEvent, TargetPose
from glue_msgs.srv import (
    ComeToRest,
    EmergencyStop,
    Hold,
    RecoverFromError,
    Release,
    ResetEmergencyStop,
    ResetSafety,
)
from jaxtyping import Float
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String

from glue_bringup.arm.base import ArmDriver
from glue_bringup.arm.franky_arm import FrankyArm, FrankyArmConfig
from glue_bringup.arm.limits import RobotModel
from glue_bringup.arm.renewable import RenewableArm
from glue_bringup.arm.topic_arm import TopicArmConfig
from glue_bringup.gripper.franky_gripper import FrankyGripper
from glue_bringup.gripper.renewable import RenewableGripper
from glue_bringup.loop.control_worker import ControlWorker
from glue_bringup.loop.guarded_supervisor import guarded_supervisor
from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.loop.worker import Worker
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.crisp_robot import CrispRobot
from glue_bringup.nodes.lifecycle import Health, ShellNode, answer, run_node
from glue_bringup.nodes.simulated_robot import SIMULATED, simulated_robot_ip
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.bags import messages, robot_messages, topics
from glue_perception.ros_conversions import ros_message
from glue_perception.scheduling import take_short_turns
from glue_perception.types import RobotState as State

WAIT_S = 0.1

Recover = Callable[[], None]


class Driver(StrEnum):
    """The ways to the robot."""

    FRANKY = "franky"
    CRISP = "crisp_controllers"


class ArmNode(ShellNode):
    """Control runs in the worker's thread. Active: the arm is under control and holds until chunks come."""

    def __init__(self) -> None:
        super().__init__("arm_node")
        self._task_name = parameters.text(
            self, "task", "push_button", "a shipped task, or a task's YAML file"
        )
        self._robot_ip = parameters.text(
            self,
            "robot_ip",
            "",
            "address of the robot, or `simulated`: the one that sim_node announces; empty: the task's own",
        )
        models = ["", *(model.value for model in RobotModel)]
        self._model = parameters.choice(
            self, "robot_model", "", models, "which robot it is; empty: the task's own"
        )
        self._driver = parameters.choice(
            self,
            "robot_driver",
            Driver.FRANKY,
            list(Driver),
            "franky: libfranka's own protocol; crisp_controllers: a ros2_control robot by its topics, whose joints, "
            "pose and targets are then not this node's topics",
        )
        self._dry_run = parameters.switch(
            self, "dry_run", False, "everything is computed and published, and the arm stays where it is"
        )
        self._latencies = RecentLatencies()

    def configure(self) -> None:
        """Connect arm and gripper; nothing moves."""
        task = load_task(self._task_name)
        self._address = simulated_robot_ip(self) if self._robot_ip == SIMULATED else self._robot_ip
        model = RobotModel.FR3 if self._robot_ip == SIMULATED else RobotModel(self._model or task.robot.model)

        supervisor = guarded_supervisor(self._safety(task.safety), model)
        connect = self._by_crisp if self._driver == Driver.CRISP else self._by_franky
        arm, gripper, recover = connect(task, model)
        self._report = TopicReport(self, own_robot_topics=self._driver == Driver.FRANKY)
        self._gripper = gripper
        self._worker = ControlWorker(
            supervisor,
            arm,
            gripper,
            recover,
            task.control_rate_hz,
            self.watch_others(),
            self._report,
            self._latencies,
            self.die,
        )
        self.resources.callback(self.deactivate)
        if self._robot_ip == SIMULATED:
            self.create_subscription(String, names.SIM_ROBOT_IP, self._announced, qos.KEPT)
        self.receive(KeyPatchArray, topics.KEY_PATCHES, self._key_patches, qos.ANSWER)
        self.receive(ActionChunk, topics.ACTION_CHUNK, self._chunk, qos.ANSWER)
        deadman = self._worker.note_deadman
        self.receive(Bool, names.DEADMAN, lambda m: deadman(m.data), qos.SENSOR)
        self.create_service(ComeToRest, names.COME_TO_REST, lambda _, r: answer(r, self._worker.come_to_rest))
        self.create_service(Hold, names.HOLD, self._hold)
        self.create_service(Release, names.RELEASE, lambda _, r: answer(r, self._worker.release))
        self.create_service(EmergencyStop, names.EMERGENCY_STOP, self._emergency_stop)
        self.create_service(
            ResetEmergencyStop,
            names.RESET_EMERGENCY_STOP,
            lambda _, r: answer(r, self._worker.reset_emergency_stop),
        )
        self.create_service(ResetSafety, names.RESET_SAFETY, lambda _, r: answer(r, self._worker.reset))
        self.create_service(
            RecoverFromError, names.RECOVER_FROM_ERROR, lambda _, r: answer(r, self._worker.recover)
        )

    def _by_franky(self, task: TaskConfig, model: RobotModel) -> tuple[ArmDriver, RenewableGripper, Recover]:
        def config() -> FrankyArmConfig:
            return task.robot.arm_config(self._address or None, model)

        gripper = RenewableGripper(lambda: FrankyGripper(config().robot_ip, task.robot.gripper))
        self.resources.callback(gripper.stop)
        arm = RenewableArm(lambda: self._address, lambda _: FrankyArm(config(), task.gains, gripper.width_m))
        self.resources.callback(arm.close)

        def recover() -> None:
            arm.recover()
            gripper.renew()

        return arm, gripper, recover

    def _by_crisp(self, task: TaskConfig, model: RobotModel) -> tuple[ArmDriver, RenewableGripper, Recover]:
        said = task.robot
        robot = CrispRobot(self, TopicArmConfig(model, said.connect_timeout_s, said.silence_timeout_s))
        self.resources.callback(robot.close)
        robot.gripper.wait(said.connect_timeout_s)
        self.get_logger().warning(
            "crisp_controllers: gains, collision thresholds and payload of the task's YAML are not used, and no "
            "forces are reported, so that the supervisor's force limit does not act; see docs/robot.md"
        )
        return robot.arm, RenewableGripper(lambda: robot.gripper), robot.arm.recover

    def _safety(self, config: SafetyConfig) -> SafetyConfig:
        return replace(config, dry_run=config.dry_run or self._dry_run)

    def activate(self) -> None:
        """Take control of the arm."""
        self._gripper.start()
        self._report.start()
        self._worker.start()

    def deactivate(self) -> None:
        """Bring the arm to rest and give control back."""
        self._worker.stop()
        self._report.stop()

    def close(self) -> None:
        """Let go of the robot, whose own threads end with the objects that hold them."""
        super().close()
        for name in ("_worker", "_report", "_gripper"):
            self.__dict__.pop(name, None)

    def step_s(self) -> float:
        """Return how long the worker has been at its step; to stop a robot that does not answer may take 3 s."""
        return 0.0 if self._worker.fault is not None else self._worker.step_s

    def diagnose(self) -> Health:
        """Return how control fares."""
        holds = {f"holds_{reason}": str(count) for reason, count in sorted(self._worker.holds.items())}
        values = {"dry_run": str(self._dry_run).lower(), **holds, **self._latencies.values()}
        return Health(self._worker.fault is None, self._worker.line or "in control", values)

    def _announced(self, message: String) -> None:
        """Take note of where the simulated robot is now; one that was started again may be elsewhere."""
        self._address = message.data

    def _key_patches(self, message: KeyPatchArray) -> None:
        self._worker.note(messages.key_patches_of(message))

    def _chunk(self, message: ActionChunk) -> None:
        self._worker.submit(messages.action_chunk_of(message))

    def _hold(self, request: Hold.Request, response: Hold.Response) -> Hold.Response:
        return answer(response, lambda: self._worker.hold(request.reason))

    def _emergency_stop(
        self, request: EmergencyStop.Request, response: EmergencyStop.Response
    ) -> EmergencyStop.Response:
        return answer(response, lambda: self._worker.emergency_stop(request.reason))


class TopicReport(Worker):
    """Publishes what control does, from a thread of its own: control never waits for the network.

    Of states and targets the newest is sent, to whoever listens; of decisions all.

    Args:
        node: Gets the publishers.
        own_robot_topics: Also joints, pose and target as the messages that other tools know; not where the robot's
            own driver publishes these.
    """

    def __init__(self, node: ArmNode, own_robot_topics: bool) -> None:
        super().__init__("arm_topics", node.die)
        make = node.create_lifecycle_publisher
        self._logger = node.get_logger()
        self._robot_state = make(RobotState, topics.ROBOT_STATE, qos.SENSOR)
        self._own = own_robot_topics
        if own_robot_topics:
            self._joint_states = make(JointState, topics.JOINT_STATES, qos.SENSOR)
            self._current_pose = make(PoseStamped, topics.CURRENT_POSE, qos.SENSOR)
            self._target_pose = make(PoseStamped, topics.TARGET_POSE, qos.SENSOR)
        self._target = make(TargetPose, topics.TARGET, qos.SENSOR)
        self._safety_event = make(SafetyEvent, topics.SAFETY_EVENT, qos.EVENT)
        self._execution = make(ChunkExecution, names.CHUNK_EXECUTION, qos.ANSWER)
        self._operator_line = make(String, names.OPERATOR_LINE, qos.KEPT)
        self._lines: Mailbox[str] = Mailbox()
        self._states: Mailbox[State] = Mailbox()
        self._held: Mailbox[int] = Mailbox()
        self._in_force: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._targets: Mailbox[tuple[int, Float[np.ndarray, "4 4"]]] = Mailbox()
        self._events: queue.SimpleQueue[messages.SafetyEvent] = queue.SimpleQueue()
        self._news = threading.Event()

    def state(self, state: State) -> None:
        """Take a state; sent with the target that follows, when control has done its tick."""
        self._states.put(state)

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Take a target."""
        self._targets.put((stamp_ns, T_base_ee))
        self._news.set()

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Take a decision of the supervisor."""
        self._events.put(messages.SafetyEvent(stamp_ns, mode, reason))
        self._news.set()

    def in_force(self, chunk_stamp_ns: int, now_ns: int) -> None:
        """Take note of a chunk that has taken over."""
        self._in_force.put((chunk_stamp_ns, now_ns))

    def held(self, now_ns: int) -> None:
        """Take note that the arm does not follow."""
        self._held.put(now_ns)

    def step(self) -> None:
        """Publish what is there."""
        self._news.wait(WAIT_S)
        self._news.clear()
        state, target = self._states.take(0.0), self._targets.take(0.0)
        if state is not None:
            stamp_ns, pose = state.stamp_ns, state.T_base_ee
            _send(self._robot_state, lambda: robot_messages.robot_state_message(state))
            if self._own:
                _send(self._joint_states, lambda: robot_messages.joint_state_message(state))
                _send(self._current_pose, lambda: robot_messages.pose_message(stamp_ns, pose))
        if target is not None:
            _send(self._target, lambda: robot_messages.target_message(*target))
            if self._own:
                _send(self._target_pose, lambda: robot_messages.pose_message(*target))
        self._publish_execution()
        line = self._lines.take(0.0)
        if line is not None:
            self._operator_line.publish(String(data=line))
        while not self._events.empty():
            event = self._events.get()
            self._safety_event.publish(ros_message(messages.safety_event_message(event)))
            self._logger.info(f"{event.mode}: {event.reason}")

    def line(self, line: str) -> None:
        """Take what the operator is to read."""
        self._lines.put(line)
        self._news.set()

    def _publish_execution(self) -> None:
        while not self._in_force.empty():
            chunk_stamp_ns, now_ns = self._in_force.get()
            message = ChunkExecution(
                header=ros_message(messages.header(now_ns, "")),
                status=ChunkExecution.IN_FORCE,
                chunk_stamp=ros_message(messages.header(chunk_stamp_ns, "").stamp),
            )
            self._execution.publish(message)
        held_ns = self._held.take(0.0)
        if held_ns is not None:
            header = ros_message(messages.header(held_ns, ""))
            self._execution.publish(ChunkExecution(header=header, status=ChunkExecution.HELD))


def _send(publisher: Any, make: Callable[[], Any]) -> None:
    """Publish a message of the newest-counts kind; it is not even made where nobody listens."""
    if publisher.get_subscription_count():
        publisher.publish(ros_message(make()))


def main() -> int:
    """Run the node."""
    take_short_turns()  # all threads of the process: control, the driver's own at 1 kHz, DDS
    return run_node(ArmNode)


if __name__ == "__main__":
    sys.exit(main())
