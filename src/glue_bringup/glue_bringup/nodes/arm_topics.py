"""What control does, on the topics of `arm_node`."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from glue_msgs.msg import ChunkExecution, RobotState, SafetyEvent, TargetPose
from jaxtyping import Float
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.worker import Worker
from glue_bringup.nodes import names, qos
from glue_bringup.nodes.lifecycle import ShellNode
from glue_perception.bags import messages, robot_messages, topics
from glue_perception.ros_conversions import ros_message
from glue_perception.types import RobotState as State

WAIT_S = 0.1


class TopicReport(Worker):
    """Publishes what control does, from a thread of its own: control never waits for the network.

    Of states and targets the newest is sent, to whoever listens; of decisions all.

    Args:
        node: Gets the publishers.
        own_robot_topics: Also joints, pose and target as the messages that other tools know; not where the robot's
            own driver publishes these.
    """

    def __init__(self, node: ShellNode, own_robot_topics: bool) -> None:
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
