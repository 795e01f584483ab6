"""A single picture as a camera frame."""

from __future__ import annotations

from pathlib import Path

import cv2

from glue_perception.cameras.clip import FRAME_ID
from glue_perception.cameras.intrinsics import DEFAULT_FIELD_OF_VIEW_DEG, intrinsics_from_field_of_view
from glue_perception.errors import ConfigError
from glue_perception.types import CameraFrame

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def read_image(
    path: Path, stamp_ns: int = 0, field_of_view_deg: float = DEFAULT_FIELD_OF_VIEW_DEG
) -> CameraFrame:
    """Return the picture in a file as a frame; its intrinsics are assumed from the field of view.

    Raises:
        ConfigError: the file does not exist or is no picture.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path} is not a file; give the path of a picture ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ConfigError(f"{path} cannot be read as a picture; is it complete?")
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    intrinsics = intrinsics_from_field_of_view(rgb.shape[1], rgb.shape[0], field_of_view_deg)
    return CameraFrame(stamp_ns, FRAME_ID, rgb, intrinsics)
