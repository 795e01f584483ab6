"""`sim_node`: the twin as robot and camera, on the real topic names; says when the task is done."""

from __future__ import annotations

import array
import sys

from std_msgs.msg import Bool, Float64MultiArray, String

from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.camera_node import CameraNode
from glue_bringup.nodes.lifecycle import run_node
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.task_config import load_task
from glue_perception.cameras.base import Camera
from glue_perception.errors import GlueError


class SimNode(CameraNode):
    """A camera whose source is the twin. The robot is not on a topic: `arm_node` talks to it as to a robot.

    It ends when the simulation does.
    """

    def __init__(self) -> None:
        super().__init__("sim_node")
        self._task_name = parameters.text(
            self, "task", "push_button", "a shipped task, or a task's YAML file"
        )
        self._seed = parameters.integer(
            self, "seed", 0, 0, 2**31 - 1, "layout of the scene and start of the arm"
        )
        self._done: bool | None = None

    def open(self) -> Camera:
        """Start the twin and return its camera."""
        task = load_task(self._task_name)
        self._twin = self.resources.enter_context(ProtocolTwin(task.task, self._seed, task.camera))
        return self._twin.camera

    def configure(self) -> None:
        """Start the twin and announce its robot."""
        super().configure()
        self._done_topic = self.create_publisher(Bool, names.TASK_DONE, qos.KEPT)
        self._address_topic = self.create_publisher(String, names.SIM_ROBOT_IP, qos.KEPT)
        self._measured_topic = self.create_publisher(Float64MultiArray, names.SIM_MEASURED, qos.SENSOR)
        self._address_topic.publish(String(data=self._twin.robot_ip))
        self.get_logger().info(f"the simulated robot listens at {self._twin.robot_ip}")

    def published(self) -> None:
        """Say how the task fares."""
        self._report()

    def read_failed(self, error: GlueError) -> None:
        """End if the simulation has: it does not come back. One that is slow may go on."""
        super().read_failed(error)
        self._report()

    def _report(self) -> None:
        try:
            done = self._twin.status().success
            measured = self._twin.measured
        except GlueError as error:
            self.die(error)
            return
        if self._measured_topic.get_subscription_count():
            self._measured_topic.publish(Float64MultiArray(data=array.array("d", measured.tobytes())))
        if done != self._done:
            self._done = done
            self._done_topic.publish(Bool(data=done))


def main() -> int:
    """Run the node."""
    return run_node(SimNode)


if __name__ == "__main__":
    sys.exit(main())
