"""`view_node`: what perception and policy say, as a picture and a path that RViz and Foxglove show."""

from __future__ import annotations

import sys

from glue_msgs.msg import ActionChunk, KeyPatchArray, SafetyEvent
from nav_msgs.msg import Path
from sensor_msgs.msg import Image

from glue_bringup.loop.live_view import LiveView, ViewWorker
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.camera_input import CameraInput
from glue_bringup.nodes.lifecycle import ShellNode, run_node
from glue_bringup.recording.episode_picture import EpisodePicture
from glue_bringup.task_config import load_task
from glue_perception.bags import messages, robot_messages, topics
from glue_perception.ros_conversions import image_to_ros, ros_message
from glue_perception.types import CameraFrame


class ViewNode(ShellNode):
    """For people only: no other node listens to it, and what it cannot draw it leaves out."""

    def __init__(self) -> None:
        super().__init__("view_node")
        self._task_name = parameters.text(
            self, "task", "push_button", "a shipped task, or a task's YAML file"
        )
        self._simulated = parameters.switch(
            self,
            "simulated",
            False,
            "the twin's camera, whose place is known: chunks are drawn into its image",
        )
        self._rate_hz = parameters.number(self, "rate_hz", 10.0, 1.0, 30.0, "pictures per second at most")

    def configure(self) -> None:
        """Read the task and connect to the topics."""
        task = load_task(self._task_name)
        picture = EpisodePicture(task.queries, task.camera.T_base_camera if self._simulated else None)
        self._view = LiveView(picture)
        self._worker = ViewWorker(self._view, self._rate_hz, self._publish, self.die)
        self.resources.callback(self._worker.stop)
        self._images = self.create_lifecycle_publisher(Image, names.VIEW_IMAGE, qos.SENSOR)
        self._paths = self.create_lifecycle_publisher(Path, names.VIEW_PATH, qos.ANSWER)
        CameraInput(self, self._view.frame)
        self.receive(KeyPatchArray, topics.KEY_PATCHES, self._key_patches, qos.ANSWER)
        self.receive(ActionChunk, topics.ACTION_CHUNK, self._chunk, qos.ANSWER)
        self.receive(SafetyEvent, topics.SAFETY_EVENT, self._safety_event, qos.EVENT)

    def activate(self) -> None:
        """Start to draw."""
        self._worker.start()

    def deactivate(self) -> None:
        """Stop drawing."""
        self._worker.stop()

    def _key_patches(self, message: KeyPatchArray) -> None:
        self._view.key_patches(messages.key_patches_of(message))

    def _chunk(self, message: ActionChunk) -> None:
        chunk = messages.action_chunk_of(message)
        self._view.chunk(chunk)
        self._paths.publish(ros_message(robot_messages.path_message(chunk)))

    def _safety_event(self, message: SafetyEvent) -> None:
        self._view.status(f"{message.mode}: {message.reason}" if message.reason else message.mode)

    def _publish(self, picture: CameraFrame) -> None:
        self._images.publish(image_to_ros(picture))


def main() -> int:
    """Run the node."""
    return run_node(ViewNode, niceness=10)


if __name__ == "__main__":
    sys.exit(main())
