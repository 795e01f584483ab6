"""Robot states, poses and targets to ROS messages and back.

glue_msgs/RobotState and glue_msgs/TargetPose carry the 4 x 4 pose itself and are exact. The standard messages
beside them are for other tools: a pose with a quaternion loses its last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from glue_perception.bags import topics
from glue_perception.bags.message_types import message_class
from glue_perception.bags.messages import header, point_message, stamp_ns_of
from glue_perception.errors import BagError
from glue_perception.geometry import (
    make_transform,
    matrix_from_quaternion,
    matrix_from_rotation_6d,
    quaternion_from_matrix,
)
from glue_perception.types import ActionChunk, RobotState


def robot_state_message(state: RobotState) -> Any:
    """Return the state as glue_msgs/RobotState, exact."""
    return message_class("glue_msgs/msg/RobotState")(
        header=header(state.stamp_ns, topics.BASE_FRAME),
        joint_position=state.joint_position_rad,
        joint_velocity=state.joint_velocity_rad_s,
        t_base_ee=state.T_base_ee.reshape(16),
        gripper_width=state.gripper_width_m,
        external_wrench=np.zeros(0) if state.external_wrench is None else state.external_wrench,
    )


def robot_state_of(message: Any) -> RobotState:
    """Return the state in a glue_msgs/RobotState; a bag of before wrenches were recorded has none.

    Raises:
        InvalidValueError: a value that no state has, such as a wrench of other than six numbers.
    """
    wrench = np.asarray(message.external_wrench)
    return RobotState(
        stamp_ns=stamp_ns_of(message),
        joint_position_rad=message.joint_position,
        joint_velocity_rad_s=message.joint_velocity,
        T_base_ee=message.t_base_ee.reshape(4, 4),
        gripper_width_m=message.gripper_width,
        external_wrench=wrench if wrench.size else None,
    )


def joint_state_message(state: RobotState) -> Any:
    """Return joints and fingers as sensor_msgs/JointState; each finger has half the gripper's width."""
    fingers = np.full(2, state.gripper_width_m / 2)
    return message_class("sensor_msgs/msg/JointState")(
        header=header(state.stamp_ns, topics.BASE_FRAME),
        name=[*topics.JOINT_NAMES, *topics.FINGER_JOINT_NAMES],
        position=np.concatenate([state.joint_position_rad, fingers]),
        velocity=np.concatenate([state.joint_velocity_rad_s, np.zeros(2)]),
        effort=np.zeros(0),
    )


def pose_message(stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> Any:
    """Return a pose as geometry_msgs/PoseStamped in the base frame; exact to rounding only."""
    x, y, z, w = (float(v) for v in quaternion_from_matrix(T_base_ee[:3, :3]))
    return message_class("geometry_msgs/msg/PoseStamped")(
        header=header(stamp_ns, topics.BASE_FRAME),
        pose=message_class("geometry_msgs/msg/Pose")(
            position=point_message(T_base_ee[:3, 3]),
            orientation=message_class("geometry_msgs/msg/Quaternion")(x, y, z, w),
        ),
    )


def pose_of(message: Any) -> tuple[int, Float[np.ndarray, "4 4"]]:
    """Return stamp and T_base_ee of a geometry_msgs/PoseStamped.

    Raises:
        BagError: NaN, or a quaternion far from unit length.
    """
    p, q = message.pose.position, message.pose.orientation
    quaternion = np.array([q.x, q.y, q.z, q.w])
    position = np.array([p.x, p.y, p.z])
    norm = float(np.linalg.norm(quaternion))
    if not (np.all(np.isfinite(position)) and abs(norm - 1.0) < 1e-3):
        raise BagError(f"a pose holds NaN or a quaternion of length {norm:g}; its publisher is at fault")
    T_base_ee = np.eye(4)
    T_base_ee[:3, :3] = matrix_from_quaternion(quaternion / norm)
    T_base_ee[:3, 3] = position
    return stamp_ns_of(message), T_base_ee


def path_message(chunk: ActionChunk) -> Any:
    """Return a chunk's targets as nav_msgs/Path in the base frame, each with the time at which it is in force."""
    rotations = matrix_from_rotation_6d(chunk.rotation_6d)
    poses = [make_transform(rotation, at) for rotation, at in zip(rotations, chunk.position_m, strict=True)]
    return message_class("nav_msgs/msg/Path")(
        header=header(chunk.stamp_ns, topics.BASE_FRAME),
        poses=[pose_message(chunk.stamp_ns + k * chunk.dt_ns, pose) for k, pose in enumerate(poses)],
    )


def target_message(stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> Any:
    """Return a target as glue_msgs/TargetPose, exact."""
    return message_class("glue_msgs/msg/TargetPose")(
        header=header(stamp_ns, topics.BASE_FRAME),
        t_base_ee=np.asarray(T_base_ee, dtype=np.float64).reshape(16),
    )


def target_of(message: Any) -> tuple[int, Float[np.ndarray, "4 4"]]:
    """Return stamp and T_base_ee of a glue_msgs/TargetPose."""
    return stamp_ns_of(message), np.array(message.t_base_ee).reshape(4, 4)
