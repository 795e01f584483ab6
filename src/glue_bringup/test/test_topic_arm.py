"""An arm and a gripper behind topics, without the topics."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.arm.topic_arm import Line, TopicArm, TopicArmConfig
from glue_bringup.gripper.topic_gripper import TopicGripper, TopicGripperConfig
from glue_perception.errors import ConfigError, HardwareError, InvalidValueError, NotReadyError

REST_RAD = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.785])
CONFIG = TopicArmConfig(RobotModel.FR3, connect_timeout_s=0.1, silence_timeout_s=0.2)


def pose_at(joint_rad: np.ndarray) -> np.ndarray:
    T_flange_tcp = np.eye(4)
    T_flange_tcp[2, 3] = 0.1034
    return ArmKinematics(limits_for(RobotModel.FR3)).flange_pose(joint_rad) @ T_flange_tcp


class Controller:
    """The other end of the line: what was sent, who listens, who else speaks."""

    def __init__(self) -> None:
        self.sent: list[np.ndarray] = []
        self.listeners = 1
        self.others: list[str] = []
        self.arm = TopicArm(
            CONFIG, Line(self.sent.append, lambda: self.listeners, lambda: self.others), lambda: 0.04
        )

    def tell(
        self,
        stamp_ns: int,
        joint_rad: np.ndarray = REST_RAD,
        T_base_ee: np.ndarray | None = None,
        prefix: str = "fr3",
    ) -> None:
        names = [f"{prefix}_joint{k}" for k in range(1, 8)]
        self.arm.note_joints(stamp_ns, dict(zip(names, joint_rad, strict=True)), dict.fromkeys(names, 0.1))
        self.arm.note_pose(stamp_ns, pose_at(joint_rad) if T_base_ee is None else T_base_ee)


@pytest.fixture
def controller() -> Controller:
    return Controller()


def test_it_starts_at_the_pose_where_the_arm_is(controller: Controller) -> None:
    controller.tell(1)
    controller.arm.start()
    (sent,) = controller.sent
    np.testing.assert_array_equal(sent, pose_at(REST_RAD))
    state = controller.arm.state()
    np.testing.assert_array_equal(state.joint_position_rad, REST_RAD)
    assert state.gripper_width_m == 0.04
    assert state.external_wrench is None
    target = pose_at(REST_RAD)
    target[2, 3] += 0.01
    controller.arm.set_target(target)
    np.testing.assert_array_equal(controller.sent[-1], target)
    controller.arm.stop()
    with pytest.raises(NotReadyError):
        controller.arm.set_target(target)
    assert len(controller.sent) == 2


def test_the_first_state_is_waited_for(controller: Controller) -> None:
    news = threading.Timer(0.02, controller.tell, (1,))
    news.start()
    controller.arm.start()
    news.join()
    assert len(controller.sent) == 1


def no_listener(controller: Controller) -> None:
    controller.tell(1)
    controller.listeners = 0


def another_speaker(controller: Controller) -> None:
    controller.tell(1)
    controller.others = ["teleop_of_yesterday"]


def another_frame(controller: Controller) -> None:
    T_world_ee = pose_at(REST_RAD)
    T_world_ee[:3, 3] += (0.0, 0.0, 0.7)
    controller.tell(1, T_base_ee=T_world_ee)


def only_poses(controller: Controller) -> None:
    controller.arm.note_pose(1, pose_at(REST_RAD))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda c: None, "joints and poses have not come"),
        (only_poses, "joints have not come"),
        (lambda c: c.tell(1, prefix="panda"), "fr3_joint1"),
        (no_listener, "nobody listens"),
        (another_speaker, "teleop_of_yesterday"),
        (another_frame, "base_frame"),
    ],
)
def test_what_it_does_not_start_with(
    controller: Controller, prepare: Callable[[Controller], None], words: str
) -> None:
    prepare(controller)
    with pytest.raises(HardwareError, match=words):
        controller.arm.start()
    assert controller.sent == []


def test_silence_ends_control_and_recover_waits_for_news(controller: Controller) -> None:
    controller.tell(1)
    controller.arm.start()
    threading.Event().wait(CONFIG.silence_timeout_s + 0.05)
    with pytest.raises(HardwareError, match="no new"):
        controller.arm.state()
    controller.arm.recover()
    with pytest.raises(HardwareError, match="have not come"):
        controller.arm.start()
    controller.tell(1)
    controller.arm.start()
    assert len(controller.sent) == 2


def test_stamps_that_stand_still_are_silence(controller: Controller) -> None:
    """A driver that died behind its broadcaster repeats its last state for ever."""
    controller.tell(1)
    controller.arm.start()
    for _ in range(12):
        controller.tell(1)
        threading.Event().wait(CONFIG.silence_timeout_s / 10)
    with pytest.raises(HardwareError, match="no new"):
        controller.arm.state()


def test_values_that_are_not_finite_end_control(controller: Controller) -> None:
    controller.tell(1)
    controller.arm.start()
    controller.tell(2, np.full(7, np.nan), pose_at(REST_RAD))
    for _ in range(2):
        with pytest.raises(HardwareError, match="not finite"):
            controller.arm.state()
        controller.tell(3)  # good news do not undo it: a person looks first
    controller.arm.recover()
    controller.tell(4)
    controller.arm.start()
    controller.arm.state()


def test_targets_need_a_listener_and_numbers(controller: Controller) -> None:
    controller.tell(1)
    controller.arm.start()
    with pytest.raises(InvalidValueError):
        controller.arm.set_target(np.full((4, 4), np.nan))
    controller.listeners = 0
    with pytest.raises(HardwareError, match="nobody listens"):
        controller.arm.set_target(pose_at(REST_RAD))
    assert len(controller.sent) == 1


def test_a_message_of_other_joints_is_left_out(controller: Controller) -> None:
    controller.tell(1)
    controller.arm.start()
    controller.arm.note_joints(2, {"fr3_finger_joint1": 0.01}, {})
    np.testing.assert_array_equal(controller.arm.state().joint_position_rad, REST_RAD)


@pytest.mark.parametrize("name", ["connect_timeout_s", "silence_timeout_s"])
def test_times_are_above_zero(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        TopicArmConfig(RobotModel.PANDA, **{name: 0.0})


def test_the_gripper_asks_once_and_measures_in_metres() -> None:
    sent: list[float] = []
    gripper = TopicGripper(sent.append)
    with pytest.raises(HardwareError, match="no opening"):
        gripper.wait(0.01)
    with pytest.raises(HardwareError, match="silent"):
        gripper.command(0.04)
    gripper.note_share(0.5)
    gripper.wait(0.01)
    assert gripper.width_m() == pytest.approx(0.04)
    for width_m in (0.04, 0.041, 0.08, 0.2, -1.0):
        gripper.command(width_m)
    assert sent == pytest.approx([0.5, 1.0, 1.0, 0.0])
    gripper.stop()
    gripper.command(-1.0)
    assert sent[-1] == 0.0
    assert len(sent) == 5


def test_a_silent_gripper_is_said() -> None:
    gripper = TopicGripper(lambda share: None, TopicGripperConfig(silence_timeout_s=0.01))
    gripper.note_share(float("nan"))
    with pytest.raises(HardwareError, match="no opening"):
        gripper.wait(0.0)
    gripper.note_share(1.2)
    assert gripper.width_m() == pytest.approx(0.08)
    threading.Event().wait(0.02)
    with pytest.raises(HardwareError, match="silent"):
        gripper.command(0.0)
