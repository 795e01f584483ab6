"""What every camera is: a source of stamped frames, newest first."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from glue_perception.cameras.statistics import CameraStatistics
from glue_perception.types import CameraFrame


class Camera(Protocol):
    """A started camera. `read` is called by one thread; `close` may be called by any, and more than once."""

    def read(self, timeout_s: float) -> CameraFrame | None:
        """Return the next new frame, skipping those that were missed, or None at the end of a recording.

        Raises:
            HardwareError: no frame came within `timeout_s`. A live camera goes on trying: a later call may succeed.
        """
        ...

    def close(self) -> None:
        """Stop the stream and free the device."""
        ...


@runtime_checkable
class CountingCamera(Camera, Protocol):
    """A camera that also says how its stream has been; all that `open_camera` opens are."""

    @property
    def statistics(self) -> CameraStatistics:
        """The counts since the camera was opened; any thread may ask, also after `close`."""
        ...
