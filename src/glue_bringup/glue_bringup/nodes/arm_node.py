"""`arm_node`: the sole source of robot targets: supervisor, arm and gripper behind topics and services."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from glue_msgs.msg import ActionChunk, KeyPatchArray
from glue_msgs.srv import (
    ComeToRest,
    EmergencyStop,
    Hold,
    RecoverFromError,
    Release,
    ResetEmergencyStop,
    ResetSafety,
)
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
from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.arm_topics import TopicReport
from glue_bringup.nodes.crisp_robot import CrispRobot
from glue_bringup.nodes.lifecycle import Health, ShellNode, answer, run_node
from glue_bringup.nodes.simulated_robot import SIMULATED, simulated_robot_ip
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.bags import messages, topics
from glue_perception.scheduling import take_short_turns

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


def main() -> int:
    """Run the node."""
    take_short_turns()  # all threads of the process: control, the driver's own at 1 kHz, DDS
    return run_node(ArmNode)


if __name__ == "__main__":
    sys.exit(main())
