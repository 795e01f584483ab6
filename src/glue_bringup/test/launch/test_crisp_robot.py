"""arm_node in front of a robot that speaks as crisp_controllers does: the twin behind those topics."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a sourced ROS 2 Jazzy")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from glue_msgs.msg import ActionChunk, KeyPatchArray  # noqa: E402
from glue_msgs.srv import ResetSafety  # noqa: E402
from launched import DOMAIN_ID, START_S, patient_task  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from served import served  # noqa: E402
from std_msgs.msg import Float64MultiArray, String  # noqa: E402
from waiting import until  # noqa: E402

from glue_bringup.nodes import names, qos  # noqa: E402
from glue_bringup.nodes.crisp_robot import GRIPPER_COMMANDS, GRIPPER_STATES, TARGET  # noqa: E402
from glue_bringup.sim.sync_twin import SyncTwin  # noqa: E402
from glue_perception import types  # noqa: E402
from glue_perception.bags import messages, robot_messages, topics  # noqa: E402
from glue_perception.ros_conversions import ros_message  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]

TICK_S = 0.01
MAX_WIDTH_M = 0.08


class CrispTwin(Node):
    """The twin in real time behind the topics of crisp_controllers and of its gripper adapter."""

    def __init__(self) -> None:
        super().__init__("controller_manager")
        self.twin = SyncTwin("push_button", seed=3)
        self.twin.arm.start()
        self.targets: list[np.ndarray] = []
        self.lines: list[str] = []
        self._newest: np.ndarray | None = None
        self._joints = self.create_publisher(JointState, topics.JOINT_STATES, 10)
        self._pose = self.create_publisher(PoseStamped, topics.CURRENT_POSE, 10)
        self._opening = self.create_publisher(JointState, GRIPPER_STATES, 10)
        self.chunks = self.create_publisher(ActionChunk, topics.ACTION_CHUNK, qos.ANSWER)
        self.patches = self.create_publisher(KeyPatchArray, topics.KEY_PATCHES, qos.ANSWER)
        self.create_subscription(PoseStamped, topics.TARGET_POSE, self._target, TARGET)
        self.create_subscription(Float64MultiArray, GRIPPER_COMMANDS, self._command, TARGET)
        self.create_subscription(String, names.OPERATOR_LINE, lambda m: self.lines.append(m.data), qos.KEPT)
        self.reset = self.create_client(ResetSafety, names.RESET_SAFETY)
        self.silent = False
        self.create_timer(TICK_S, self._tick)

    def _target(self, message: PoseStamped) -> None:
        self._newest = robot_messages.pose_of(message)[1]
        self.targets.append(self._newest)

    def _command(self, message: Float64MultiArray) -> None:
        self.twin.gripper.command(message.data[0] * MAX_WIDTH_M)

    def _tick(self) -> None:
        if self.silent:
            return
        if self._newest is not None:
            self.twin.arm.set_target(self._newest)
        self.twin.advance(round(TICK_S * 1e9))
        state = self.twin.arm.state()
        stamp_ns = self.get_clock().now().nanoseconds
        header = ros_message(messages.header(stamp_ns, "base"))
        joint_names = [f"fr3_joint{k}" for k in range(1, 8)]
        self._joints.publish(
            JointState(
                header=header,
                name=joint_names,
                position=state.joint_position_rad,
                velocity=state.joint_velocity_rad_s,
            )
        )
        self._pose.publish(ros_message(robot_messages.pose_message(stamp_ns, state.T_base_ee)))
        share = self.twin.gripper.width_m() / MAX_WIDTH_M
        self._opening.publish(JointState(header=header, name=["gripper_joint"], position=[share]))

    def see(self) -> None:
        """Say that ten key-patches are tracked now."""
        n, stamp_ns = 10, time.time_ns()
        patches = types.KeyPatches(
            stamp_ns=stamp_ns,
            row_col=np.full((n, 2), 14),
            xy_px=np.full((n, 2), 100.0),
            visible=np.ones(n, dtype=bool),
            health=np.full(n, types.TrackHealth.TRACKED.value),
            query_index=np.zeros(n, dtype=int),
        )
        self.patches.publish(ros_message(messages.key_patches_message(patches)))


@pytest.fixture
def robot() -> Iterator[CrispTwin]:
    rclpy.init(domain_id=DOMAIN_ID)
    with served(CrispTwin()) as node:
        yield node
    rclpy.shutdown()


class ArmNodeProcess:
    """arm_node as a user starts it; its lines are kept."""

    def __init__(self, task: Path) -> None:
        given = {"task": task, "robot_driver": "crisp_controllers", "robot_model": "fr3"}
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "glue_bringup.nodes", "arm_node", "--ros-args", *words],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN_ID)},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.lines += stream

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        exit_code = self.process.wait(START_S)
        self._reader.join()
        return exit_code


def chunk_to(position_m: np.ndarray, T_base_ee: np.ndarray, width_m: float) -> ActionChunk:
    n = 40
    rotation_6d = np.tile(T_base_ee[:3, :2].T.reshape(6), (n, 1))
    chunk = types.ActionChunk(
        time.time_ns(), 0.1, np.tile(position_m, (n, 1)), rotation_6d, np.full(n, width_m)
    )
    return ros_message(messages.action_chunk_message(chunk))


def test_it_moves_by_its_topics_and_stops_when_they_do(robot: CrispTwin, tmp_path: Path) -> None:
    arm = ArmNodeProcess(patient_task(tmp_path, robot={"silence_timeout_s": 1.0}))
    try:
        until(lambda: "active" in arm.text or arm.process.poll() is not None)
        assert arm.process.poll() is None, arm.text
        until(lambda: robot.targets)
        before = robot.twin.arm.state()
        np.testing.assert_allclose(robot.targets[0][:3, 3], before.T_base_ee[:3, 3], atol=2e-3)
        assert robot.reset.wait_for_service(START_S)
        future = robot.reset.call_async(ResetSafety.Request())
        until(future.done, robot.see)
        assert future.result().success, future.result().message

        goal_m = before.T_base_ee[:3, 3] + (0.0, 0.0, 0.03)
        newest_s = 0.0

        def fly() -> None:
            nonlocal newest_s
            robot.see()
            if time.monotonic() - newest_s > 0.5:
                newest_s = time.monotonic()
                robot.chunks.publish(chunk_to(goal_m, before.T_base_ee, 0.02))

        def there() -> bool:
            state = robot.twin.arm.state()
            return bool(np.linalg.norm(state.T_base_ee[:3, 3] - goal_m) < 0.01)

        until(lambda: there() and robot.twin.gripper.width_m() < 0.03, fly)
        steps_m = np.linalg.norm(np.diff([t[:3, 3] for t in robot.targets], axis=0), axis=1)
        assert steps_m.max() < 0.002  # creeps, as PATIENT says

        robot.silent = True
        until(lambda: any("no new" in line for line in robot.lines), fly)
        count = len(robot.targets)
        time.sleep(0.3)
        assert len(robot.targets) == count
    finally:
        exit_code = arm.end()
    assert exit_code == 0, arm.text
    assert "Traceback" not in arm.text


def test_no_robot_is_one_clear_line(tmp_path: Path) -> None:
    arm = ArmNodeProcess(patient_task(tmp_path, robot={"connect_timeout_s": 0.5}))
    assert arm.process.wait(START_S) != 0
    arm._reader.join()
    assert "no opening of the gripper has come" in arm.text
    assert "Traceback" not in arm.text


def test_a_second_source_of_targets_is_refused_even_under_our_own_name(
    robot: CrispTwin, tmp_path: Path
) -> None:
    with served(Node("arm_node_robot")) as other:
        other.create_publisher(PoseStamped, topics.TARGET_POSE, TARGET)
        arm = ArmNodeProcess(patient_task(tmp_path))
        try:
            until(lambda: any("publishes target poses too" in line for line in robot.lines))
            assert robot.targets == []
        finally:
            arm.end()
