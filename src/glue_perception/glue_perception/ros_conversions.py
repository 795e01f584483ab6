"""Value types to messages of a running ROS 2 and back, exact to the last bit.

What a message says of a value is written once, in `glue_perception.bags`, for bags; here those messages become
instances of the classes that rclpy sends, and what rclpy receives is read by the same functions.
"""

from __future__ import annotations

import array
from collections.abc import Callable
from functools import cache, partial
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
    kind, fields = _fields_of(message.__msgtype__)
    result = kind()
    for name, convert in fields:
        value = getattr(message, name)
        setattr(result, name, value if convert is None else convert(value))
    return result


@cache
def _fields_of(name: str) -> tuple[Any, tuple[tuple[str, Callable[[Any], Any] | None], ...]]:
    """Return the class of a type's messages and, for each field, what makes its values; None: they are taken as is.

    The kind of a field is that of its default.
    """
    kind = _message_class(name)
    default = kind()
    names = default.get_fields_and_field_types()
    return kind, tuple((field, _conversion(getattr(default, field))) for field in names)


def _conversion(like: Any) -> Callable[[Any], Any] | None:
    if isinstance(like, array.array):
        return partial(_as_array, like.typecode)
    if isinstance(like, np.ndarray):
        return partial(np.asarray, dtype=like.dtype)
    if isinstance(like, list):
        return _as_list
    return ros_message if hasattr(like, "get_fields_and_field_types") else None


def _as_array(typecode: str, value: Any) -> array.array[Any]:
    values, result = np.ascontiguousarray(value), array.array(typecode)
    if values.size:
        result.frombytes(values.data.cast("B"))
    return result


def _as_list(values: Any) -> list[Any]:
    return [ros_message(value) if hasattr(value, "__msgtype__") else value for value in values]


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
