"""A video file as a camera."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from glue_perception.cameras.intrinsics import DEFAULT_FIELD_OF_VIEW_DEG, intrinsics_from_field_of_view
from glue_perception.cameras.statistics import CameraStatistics, RecordingCounter
from glue_perception.errors import ConfigError, HardwareError
from glue_perception.timing import NS_PER_S
from glue_perception.types import CameraFrame

FRAME_ID = "camera_color_optical_frame"
COMPLETE_SHARE = 0.9
"""Some containers state a frame or two too many, or estimate; a clip that ends before this share has been cut off."""


class TruncatedClipWarning(UserWarning):
    """The clip ended long before the number of frames that its file states; what could be decoded was given."""


class ClipCamera:
    """Gives every frame of a video file, in order, as fast as it is read; stamps come from the file's frame rate.

    Unlike a live camera it skips nothing, so that a clip gives the same frames each time. One thread reads. A file
    that was cut off gives what can be decoded and then, once, a TruncatedClipWarning.

    Args:
        path: Anything that OpenCV's FFmpeg reads.
        start_ns: Stamp of frame 0.
        start_frame: First frame to give.
        field_of_view_deg: Horizontal, assumed; a video file carries no intrinsics.

    Raises:
        ConfigError: the file does not exist, or `start_frame` lies outside it.
        HardwareError: it cannot be decoded.
    """

    def __init__(
        self,
        path: Path | str,
        start_ns: int = 0,
        start_frame: int = 0,
        field_of_view_deg: float = DEFAULT_FIELD_OF_VIEW_DEG,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ConfigError(f"{self.path} is not a file; give the path of a video clip")
        self._capture = cv2.VideoCapture(str(self.path))
        if not self._capture.isOpened():
            raise HardwareError(
                f"{self.path} cannot be read as a video; is it complete, and not an image or a bag?"
            )
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        # Some containers state no rate; 30 Hz is then as good a guess as any and keeps stamps increasing.
        self.rate_hz = rate if np.isfinite(rate) and 0.1 <= rate <= 1000.0 else 30.0
        self.num_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._start_ns, self._index = start_ns, 0
        self._grabbed = False
        self._field_of_view_deg = field_of_view_deg
        self._intrinsics: dict[tuple[int, int], Float[np.ndarray, "3 3"]] = {}
        self._intrinsics_of(1, 1)  # refuses a wrong field of view now
        self._counter = RecordingCounter()
        self._skip(start_frame)

    def _skip(self, start_frame: int) -> None:
        # Reading instead of seeking: seeking lands on key frames in many files.
        for index in range(start_frame + 1 if start_frame > 0 else 0):
            if not self._capture.grab():
                self.close()
                raise ConfigError(f"{self.path} ends at frame {index - 1}; there is no frame {start_frame}")
            self._index, self._grabbed = index, True

    def read(self, timeout_s: float = 0.0) -> CameraFrame | None:
        """Return the next frame, or None at the end of the clip; `timeout_s` plays no part.

        Raises:
            HardwareError: the file holds no frame that can be decoded.
        """
        if not self._capture.isOpened():
            return None
        ok, bgr = self._capture.retrieve() if self._grabbed else self._capture.read()
        self._grabbed = False
        if not ok:
            if self._index == 0:
                raise HardwareError(f"{self.path} holds no frame that can be decoded; is the file cut off?")
            self._end()
            return None
        stamp_ns = self._start_ns + round(self._index * NS_PER_S / self.rate_hz)
        self._index += 1
        self._counter.count(stamp_ns)
        height, width = bgr.shape[:2]
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return CameraFrame(stamp_ns, FRAME_ID, rgb, self._intrinsics_of(width, height))

    def _intrinsics_of(self, width_px: int, height_px: int) -> Float[np.ndarray, "3 3"]:
        # Of each image, as the resolution may change within a stream.
        if (width_px, height_px) not in self._intrinsics:
            K = intrinsics_from_field_of_view(width_px, height_px, self._field_of_view_deg)
            self._intrinsics[width_px, height_px] = K
        return self._intrinsics[width_px, height_px]

    def _end(self) -> None:
        self._capture.release()
        if self._index < COMPLETE_SHARE * self.num_frames - 1:
            warnings.warn(
                f"{self.path} states {self.num_frames} frames, but ended after {self._index}; it is cut off or "
                "damaged",
                TruncatedClipWarning,
                stacklevel=3,
            )

    def frames(self) -> Iterator[CameraFrame]:
        """Give all remaining frames."""
        while (frame := self.read()) is not None:
            yield frame

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    @property
    def statistics(self) -> CameraStatistics:
        """The counts so far; a file says nothing of the frames that its recorder missed."""
        return self._counter.statistics
