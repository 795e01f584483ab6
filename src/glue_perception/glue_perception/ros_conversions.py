"""Value types to messages of a running ROS 2 and back, exact to the last bit.

What a message says of a value is written once, in `glue_perception.bags`, for bags; here those messages become
instances of the classes that rclpy sends, and what rclpy receives is read by the same functions.
"""

from __future__ import annotations

import array
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float
from rosidl_runtime_py.utilities import get_message

from glue_perception.bags.camera_messages import camera_info_message, image_message, intrinsics_of, rgb_of
from glue_perception.types import CameraFrame


@cache
def _message_class(name: str) -> Any:
    return get_message(name)


def ros_message(message: Any) -> Any:
    """Return the message that rclpy sends for one that `glue_perception.bags` made.

    Raises:
        LookupError, ModuleNotFoundError: the message's package is not built or sourced.
    """
    result = _message_class(message.__msgtype__)()
    for name in result.get_fields_and_field_types():
        setattr(result, name, _ros_value(getattr(message, name), getattr(result, name)))
    return result


def _ros_value(value: Any, like: Any) -> Any:
    """Return a field's value as the kind that the field holds by default."""
    if hasattr(value, "__msgtype__"):
        return ros_message(value)
    if isinstance(like, array.array):
        return array.array(like.typecode, np.ascontiguousarray(value).tobytes())
    if isinstance(like, np.ndarray):
        return np.asarray(value, dtype=like.dtype)
    if isinstance(like, list):
        return [_ros_value(item, None) for item in value]
    return value


def image_to_ros(frame: CameraFrame) -> Any:
    """Return the colour image as sensor_msgs/Image, rgb8."""
    return ros_message(image_message(frame))


def camera_info_to_ros(frame: CameraFrame) -> Any:
    """Return the frame's pinhole model as sensor_msgs/CameraInfo."""
    return ros_message(camera_info_message(frame))


def stamp_ns_from_ros(message: Any) -> int:
    """Return the time of a message's header."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_from_ros(image: Any, intrinsics: Float[np.ndarray, "3 3"]) -> CameraFrame:
    """Return the frame in a sensor_msgs/Image; of a camera that sends rgb8 its pixels are not copied.

    Raises:
        BagError: an encoding that is not known, or sizes that contradict each other.
        InvalidValueError: the intrinsics are not those of a camera.
    """
    return CameraFrame(
        stamp_ns=stamp_ns_from_ros(image),
        frame_id=image.header.frame_id,
        rgb=rgb_of(_WithPixels(image)),
        intrinsics=intrinsics,
    )


def intrinsics_from_ros(camera_info: Any) -> Float[np.ndarray, "3 3"]:
    """Return K of a sensor_msgs/CameraInfo in px."""
    return intrinsics_of(camera_info)


class _WithPixels:
    """A received image whose data is a numpy array, as the functions for bags expect it."""

    def __init__(self, image: Any) -> None:
        self.height, self.width, self.step = image.height, image.width, image.step
        self.encoding = image.encoding
        self.data = np.frombuffer(image.data, dtype=np.uint8)
