"""The camera's topics as frames, for the nodes that look at them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from glue_bringup.nodes import qos
from glue_bringup.nodes.entities import EntityNode
from glue_perception.bags import topics
from glue_perception.errors import InvalidValueError
from glue_perception.ros_conversions import frame_from_ros, intrinsics_from_ros
from glue_perception.types import CameraFrame


class CameraInput:
    """Subscribes for a node, which says in its log what cannot be used and leaves it out.

    Args:
        node: Gets the subscriptions.
        take: Gets every frame, with the intrinsics in force, in the node's receiving thread.
        quality: Of the images.
    """

    def __init__(
        self, node: EntityNode, take: Callable[[CameraFrame], None], quality: QoSProfile = qos.SENSOR
    ) -> None:
        self._take = take
        self._intrinsics: Float[np.ndarray, "3 3"] | None = None
        node.receive(CameraInfo, topics.CAMERA_INFO, self._camera_info, qos.SENSOR)
        node.receive(Image, topics.IMAGE, self._image, quality)

    def _camera_info(self, message: CameraInfo) -> None:
        intrinsics = intrinsics_from_ros(message)
        if not np.isfinite(intrinsics).all() or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0.0:
            raise InvalidValueError(
                f"its matrix K {np.round(intrinsics, 1).tolist()} is no camera's; is the camera calibrated?"
            )
        self._intrinsics = intrinsics

    def _image(self, message: Image) -> None:
        if self._intrinsics is not None:
            self._take(frame_from_ros(message, self._intrinsics))
