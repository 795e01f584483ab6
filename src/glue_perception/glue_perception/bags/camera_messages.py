"""Camera frames to ROS messages and back, exact to the last bit; sizes of what is read are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from glue_perception.bags.message_types import message_class
from glue_perception.bags.messages import header
from glue_perception.errors import BagError
from glue_perception.types import CameraFrame

MAX_IMAGE_SIDE_PX = 16_384

RGB_CHANNELS = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
    "8UC1": (1, (0, 0, 0)),
    "8UC3": (3, (2, 1, 0)),
}
"""Encoding -> bytes per pixel, and which of them are red, green and blue. OpenCV's 8UC3 is BGR by its custom."""


def image_message(frame: CameraFrame) -> Any:
    """Return the colour image as sensor_msgs/Image, rgb8."""
    return _image(frame, "rgb8", frame.rgb, 3)


def depth_message(frame: CameraFrame, depth_m: Float32[np.ndarray, "height width"]) -> Any:
    """Return a frame's depth as sensor_msgs/Image, 32FC1 in metres."""
    return _image(frame, "32FC1", depth_m, 4)


def _image(frame: CameraFrame, encoding: str, pixels: np.ndarray, bytes_per_pixel: int) -> Any:
    return message_class("sensor_msgs/msg/Image")(
        header=header(frame.stamp_ns, frame.frame_id),
        height=frame.height_px,
        width=frame.width_px,
        encoding=encoding,
        is_bigendian=0,
        step=frame.width_px * bytes_per_pixel,
        data=np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
    )


def rgb_of(message: Any) -> UInt8[np.ndarray, "height width 3"]:
    """Return the pixels of a sensor_msgs/Image of one of `RGB_CHANNELS`; grey becomes equal channels, alpha is left.

    Raises:
        BagError: another encoding, or sizes that contradict each other.
    """
    if message.encoding not in RGB_CHANNELS:
        raise BagError(
            f"the image's encoding is {message.encoding[:32]!r}; record the colour stream as one of "
            f"{', '.join(RGB_CHANNELS)}"
        )
    channels, order = RGB_CHANNELS[message.encoding]
    rows = _rows(message, channels).reshape(message.height, message.width, channels)
    return rows if message.encoding == "rgb8" else np.ascontiguousarray(rows[..., list(order)])


def depth_of(message: Any) -> Float32[np.ndarray, "height width"]:
    """Return the depth in metres of a sensor_msgs/Image of encoding 32FC1 (m) or 16UC1 (mm).

    Raises:
        BagError: another encoding, or sizes that contradict each other.
    """
    order = ">" if message.is_bigendian else "<"
    if message.encoding == "32FC1":
        return _rows(message, 4).view(f"{order}f4").astype(np.float32, copy=False)
    if message.encoding == "16UC1":
        return (_rows(message, 2).view(f"{order}u2") * np.float32(1e-3)).astype(np.float32)
    raise BagError(f"the depth image's encoding is {message.encoding[:32]!r}; known are 32FC1 and 16UC1")


def _rows(message: Any, bytes_per_pixel: int) -> UInt8[np.ndarray, "height row_bytes"]:
    """Return the image's rows without their padding."""
    height, width, step, size = message.height, message.width, message.step, len(message.data)
    row_bytes = width * bytes_per_pixel
    if not (0 < height <= MAX_IMAGE_SIDE_PX and 0 < width <= MAX_IMAGE_SIDE_PX):
        raise BagError(f"an image claims to be {width} x {height} pixels; the file is damaged")
    if step < row_bytes or size != step * height:
        raise BagError(
            f"an image of {width} x {height} {message.encoding} with {step} bytes a row needs "
            f"{max(step, row_bytes) * height} bytes, but holds {size}; the file is damaged"
        )
    rows = message.data.reshape(height, step)
    return rows if step == row_bytes else np.ascontiguousarray(rows[:, :row_bytes])


def camera_info_message(frame: CameraFrame) -> Any:
    """Return a frame's pinhole model as sensor_msgs/CameraInfo, undistorted."""
    K = frame.intrinsics
    return message_class("sensor_msgs/msg/CameraInfo")(
        header=header(frame.stamp_ns, frame.frame_id),
        height=frame.height_px,
        width=frame.width_px,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=K.reshape(9),
        r=np.eye(3).reshape(9),
        p=np.hstack([K, np.zeros((3, 1))]).reshape(12),
        binning_x=0,
        binning_y=0,
        roi=message_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
    )


def intrinsics_of(message: Any) -> Float[np.ndarray, "3 3"]:
    """Return K of a sensor_msgs/CameraInfo."""
    return np.array(message.k, dtype=np.float64).reshape(3, 3)
