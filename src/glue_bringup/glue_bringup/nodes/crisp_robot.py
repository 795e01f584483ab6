"""A robot under ros2_control with crisp_controllers, as an arm and a gripper of ours.

Topics as that project names them: `current_pose` and `joint_states` come, `target_pose` goes; the gripper's opening
as a share of the widest, as its gripper adapters speak. The controller obeys nobody while two nodes publish targets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from jaxtyping import Float
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from glue_bringup.arm.topic_arm import Line, TopicArm, TopicArmConfig
from glue_bringup.gripper.topic_gripper import TopicGripper
from glue_bringup.nodes import qos
from glue_perception.bags import robot_messages, topics
from glue_perception.bags.messages import stamp_ns_of
from glue_perception.errors import GlueError
from glue_perception.ros_conversions import ros_message

GRIPPER_STATES = "/gripper/joint_states"
GRIPPER_COMMANDS = "/gripper/gripper_position_controller/commands"

TARGET = QoSProfile(depth=1)
"""Reliable, as the controller's subscription: a best-effort publisher would not be heard."""


class CrispRobot:
    """Arm and gripper; what comes is taken by a node and a thread of its own, so that nobody else delays it.

    Args:
        node: Whose context and name are used.
        config: Which robot.

    Attributes:
        arm: See `TopicArm`.
        gripper: See `TopicGripper`.
    """

    def __init__(self, node: Node, config: TopicArmConfig) -> None:
        name = f"{node.get_name()}_robot"
        self._node = Node(name, context=node.context, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._targets = self._node.create_publisher(PoseStamped, topics.TARGET_POSE, TARGET)
        self._openings = self._node.create_publisher(Float64MultiArray, GRIPPER_COMMANDS, TARGET)
        line = Line(self._send, self._targets.get_subscription_count, self._others)
        self.gripper = TopicGripper(lambda share: self._openings.publish(Float64MultiArray(data=[share])))
        self.arm = TopicArm(config, line, self.gripper.width_m)
        subscribe = self._node.create_subscription
        subscribe(JointState, topics.JOINT_STATES, self._heard(self._joint_states), qos.SENSOR)
        subscribe(PoseStamped, topics.CURRENT_POSE, self._heard(self._pose), qos.SENSOR)
        subscribe(JointState, GRIPPER_STATES, self._heard(self._opening), qos.SENSOR)
        self._thread = threading.Thread(target=self._spin, name="crisp-robot", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the robot go. Safe to call twice."""
        self.arm.close()
        if self._thread.is_alive():
            self._executor.shutdown()
            self._thread.join()
            self._node.destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _heard(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        def guarded(message: Any) -> None:
            try:
                take(message)
            except GlueError as error:
                self.arm.note_unusable(str(error))

        return guarded

    def _joint_states(self, message: JointState) -> None:
        position = dict(zip(message.name, message.position, strict=False))
        velocity = dict(zip(message.name, message.velocity, strict=False))
        self.arm.note_joints(stamp_ns_of(message), position, velocity)

    def _pose(self, message: PoseStamped) -> None:
        self.arm.note_pose(*robot_messages.pose_of(message))

    def _opening(self, message: JointState) -> None:
        if len(message.position):
            self.gripper.note_share(message.position[0])

    def _send(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        stamp_ns = self._node.get_clock().now().nanoseconds
        self._targets.publish(ros_message(robot_messages.pose_message(stamp_ns, T_base_ee)))

    def _others(self) -> list[str]:
        names = [info.node_name for info in self._node.get_publishers_info_by_topic(topics.TARGET_POSE)]
        if self._node.get_name() in names:
            names.remove(self._node.get_name())  # once: a second arm_node has the same name
        return names
