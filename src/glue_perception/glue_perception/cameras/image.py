"""A single picture as a camera frame, and as a camera of one frame."""

from __future__ import annotations

from pathlib import Path

import cv2

from glue_perception.cameras.clip import FRAME_ID
from glue_perception.cameras.intrinsics import DEFAULT_FIELD_OF_VIEW_DEG, intrinsics_from_field_of_view
from glue_perception.cameras.statistics import CameraStatistics, RecordingCounter
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


class ImageCamera:
    """Gives a picture's one frame, then None. One thread reads.

    Args:
        path: See `IMAGE_SUFFIXES`.
        stamp_ns: Of the frame.
        field_of_view_deg: Horizontal, assumed.

    Raises:
        ConfigError: the file does not exist or is no picture.
    """

    def __init__(
        self, path: Path, stamp_ns: int = 0, field_of_view_deg: float = DEFAULT_FIELD_OF_VIEW_DEG
    ) -> None:
        self._frame: CameraFrame | None = read_image(path, stamp_ns, field_of_view_deg)
        self._counter = RecordingCounter()

    def read(self, timeout_s: float = 0.0) -> CameraFrame | None:
        """Return the picture the first time, None from then on and after `close`; `timeout_s` plays no part."""
        frame, self._frame = self._frame, None
        if frame is not None:
            self._counter.count(frame.stamp_ns)
        return frame

    def close(self) -> None:
        """Forget the picture."""
        self._frame = None

    @property
    def statistics(self) -> CameraStatistics:
        """The counts so far."""
        return self._counter.statistics
