"""What rclpy sends and receives is the value itself, to the last bit; needs ROS 2 and the built glue_msgs."""

from dataclasses import replace

import numpy as np
import pytest

serialization = pytest.importorskip(
    "rclpy.serialization", reason="rclpy cannot be imported: source /opt/ros/jazzy/setup.bash"
)
pytest.importorskip(
    "glue_msgs.msg", reason="glue_msgs is not built: colcon build, then source install/setup.bash"
)

from glue_perception import ros_conversions as ros  # noqa: E402
from glue_perception.bags import messages, robot_messages  # noqa: E402
from glue_perception.errors import BagError  # noqa: E402
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState, TrackHealth  # noqa: E402

pytestmark = pytest.mark.ros

STAMP_NS = 1_700_000_000_123_456_789


def over_the_wire(message):
    """Return the message as a subscriber gets it."""
    ours = ros.ros_message(message)
    return serialization.deserialize_message(serialization.serialize_message(ours), type(ours))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def same(a, b) -> None:
    for name in a.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_robot_state(rng: np.random.Generator) -> None:
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    pose[:3, 3] = rng.normal(size=3)
    state = RobotState(STAMP_NS, rng.normal(size=7), rng.normal(size=7), pose, 0.0391)
    same(robot_messages.robot_state_of(over_the_wire(robot_messages.robot_state_message(state))), state)
    state = replace(state, external_wrench=rng.normal(size=6))
    same(robot_messages.robot_state_of(over_the_wire(robot_messages.robot_state_message(state))), state)


def test_key_patches(rng: np.random.Generator) -> None:
    health = np.array([TrackHealth.TRACKED, TrackHealth.OCCLUDED, TrackHealth.LOST])
    patches = KeyPatches(
        STAMP_NS,
        rng.integers(0, 28, (3, 2)),
        rng.normal(size=(3, 2)),
        health == TrackHealth.TRACKED,
        health,
        np.array([0, 0, 1]),
        result_age_ns=33_000_000,
        redetected_from_ns=STAMP_NS - 5,
    )
    same(messages.key_patches_of(over_the_wire(messages.key_patches_message(patches))), patches)


def test_action_chunk(rng: np.random.Generator) -> None:
    chunk = ActionChunk(
        STAMP_NS, 0.1, rng.normal(size=(16, 3)), rng.normal(size=(16, 6)), rng.random(16), frozen=2
    )
    same(messages.action_chunk_of(over_the_wire(messages.action_chunk_message(chunk))), chunk)


def test_safety_event() -> None:
    event = messages.SafetyEvent(STAMP_NS, "hold", "stale_frame: Tür")
    assert messages.safety_event_of(over_the_wire(messages.safety_event_message(event))) == event


def test_poses_and_joints_carry_what_the_state_says() -> None:
    state = RobotState(STAMP_NS, np.arange(7.0), np.zeros(7), np.eye(4), 0.04)
    joints = over_the_wire(robot_messages.joint_state_message(state))
    assert list(joints.position) == [0, 1, 2, 3, 4, 5, 6, 0.02, 0.02]
    assert joints.name[0] == "panda_joint1"
    stamp_ns, pose = robot_messages.pose_of(over_the_wire(robot_messages.pose_message(STAMP_NS, np.eye(4))))
    assert stamp_ns == STAMP_NS
    np.testing.assert_array_equal(pose, np.eye(4))


def wire_frame(frame: CameraFrame):
    image = ros.image_to_ros(frame)
    info = ros.camera_info_to_ros(frame)
    image, info = (
        serialization.deserialize_message(serialization.serialize_message(m), type(m)) for m in (image, info)
    )
    return image, ros.intrinsics_from_ros(info)


def test_frame(rng: np.random.Generator) -> None:
    K = np.array([[601.5, 0, 32.25], [0, 600.25, 24], [0, 0, 1]])
    frame = CameraFrame(STAMP_NS, "optical", rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), K)
    same(ros.frame_from_ros(*wire_frame(frame)), frame)


def test_a_frame_of_the_stock_drivers_bgr_is_turned_around(rng: np.random.Generator) -> None:
    frame = CameraFrame(STAMP_NS, "optical", rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), np.eye(3))
    image, intrinsics = wire_frame(frame)
    image.encoding = "bgr8"
    np.testing.assert_array_equal(ros.frame_from_ros(image, intrinsics).rgb, frame.rgb[..., ::-1])


def test_an_image_that_contradicts_itself_is_refused(rng: np.random.Generator) -> None:
    frame = CameraFrame(STAMP_NS, "optical", rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), np.eye(3))
    image, intrinsics = wire_frame(frame)
    image.height = 5
    with pytest.raises(BagError, match="needs"):
        ros.frame_from_ros(image, intrinsics)
