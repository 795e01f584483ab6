"""The one way from a camera frame to the policy's inputs, in training and at run time alike."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from glue_perception.types import CameraFrame, KeyPatches


def policy_image(frame: CameraFrame, size_px: int) -> UInt8[np.ndarray, "size size 3"]:
    """Return the whole frame squashed to a square, averaged over areas.

    The paper's camera gives squares (512 x 512); another aspect is squashed rather than cropped, so that the 28 x 28
    grid covers everything that the camera sees.
    """
    image: np.ndarray = cv2.resize(frame.rgb, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return image


def relative_xy(key_patches: KeyPatches, frame: CameraFrame) -> Float[np.ndarray, "n 2"]:
    """Return the keypoints in 0..1 of the frame's width and height."""
    size = np.array([frame.width_px, frame.height_px], dtype=np.float64)
    xy: np.ndarray = np.clip((key_patches.xy_px + 0.5) / size, 0.0, 1.0).astype(np.float32)
    return xy
