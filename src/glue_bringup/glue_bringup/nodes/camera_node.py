"""`camera_node`: any source of `open_camera` (a RealSense, a clip, a picture, a bag) on the camera's topics."""

from __future__ import annotations

import sys
import threading
import time

from sensor_msgs.msg import CameraInfo, Image

from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.nodes import parameters, qos
from glue_bringup.nodes.lifecycle import Health, ShellNode, run_node
from glue_perception.bags import topics
from glue_perception.cameras.base import Camera
from glue_perception.cameras.sources import LIVE, open_camera
from glue_perception.errors import GlueError
from glue_perception.ros_conversions import camera_info_to_ros, image_to_ros

READ_TIMEOUT_S = 2.0


class CameraNode(ShellNode):
    """Publishes every frame with its capture stamp. Active: it reads; a live camera that hangs is tried again."""

    def __init__(self, name: str = "camera_node") -> None:
        super().__init__(name)
        self._source = parameters.text(
            self, "source", LIVE, "realsense, realsense:SERIAL, or the path of a picture, a clip or a bag"
        )
        self._stopping, self._latencies = threading.Event(), RecentLatencies()
        self._camera: Camera | None = None

    def open(self) -> Camera:
        """Return the camera; ConfigError, BagError or HardwareError as `open_camera`."""
        return open_camera(self._source)

    def configure(self) -> None:
        """Open the camera."""
        self._camera = self.open()
        self.resources.callback(self._camera.close)
        self._images = self.create_lifecycle_publisher(Image, topics.IMAGE, qos.SENSOR)
        self._infos = self.create_lifecycle_publisher(CameraInfo, topics.CAMERA_INFO, qos.SENSOR)

    def activate(self) -> None:
        """Start the reading thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()
        self.resources.callback(self.deactivate)

    def deactivate(self) -> None:
        """End the reading thread."""
        self._stopping.set()
        self._thread.join(READ_TIMEOUT_S + 1.0)

    def _read(self) -> None:
        try:
            self._read_all()
        except BaseException as error:
            self.die(error)

    def _read_all(self) -> None:
        assert self._camera is not None  # noqa: S101 - configured before it is activated
        while not self._stopping.is_set():
            try:
                frame = self._camera.read(READ_TIMEOUT_S)
            except GlueError as error:
                if not self._stopping.is_set():
                    self.read_failed(error)
                continue
            if frame is None:
                self.get_logger().info("the recording has ended")
                return
            self._latencies.add("capture_to_image", (time.time_ns() - frame.stamp_ns) / 1e6)
            self._infos.publish(camera_info_to_ros(frame))
            self._images.publish(image_to_ros(frame))
            self.published()

    def diagnose(self) -> Health:
        """Return how the camera fares."""
        return Health(True, "reading", self._latencies.values())

    def published(self) -> None:
        """Is called after every frame, in the reading thread."""

    def read_failed(self, error: GlueError) -> None:
        """Say that no frame came."""
        self.get_logger().warning(str(error), throttle_duration_sec=5.0)


def main() -> int:
    """Run the node."""
    return run_node(CameraNode)


if __name__ == "__main__":
    sys.exit(main())
