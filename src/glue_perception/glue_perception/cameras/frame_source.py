"""The seam between what is the same for all live cameras and the SDK of one make."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np


class DeviceClock(Enum):
    """What a frame's device stamp counts.

    HARDWARE: time since some start of the camera's own clock. HOST_SYNCED: the host's time of capture, as the
    camera's driver estimates it. HOST_ARRIVAL: the host's time when the driver got the frame.
    """

    HARDWARE = "hardware"
    HOST_SYNCED = "host_synced"
    HOST_ARRIVAL = "host_arrival"


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """One frame as it came, nothing checked. The arrays are copies of the SDK's buffers, which are used again.

    Attributes:
        number: The camera's count of frames.
        device_ns: The camera's stamp.
        clock: What `device_ns` counts.
        arrival_ns: The host's clock when the frame came.
        rgb: Colour image.
        intrinsics: K in px.
        depth_m: Depth aligned to colour in metres, 0 where unknown; None if not asked for.
        depth_lost: Depth was asked for, but none came with this colour image.
    """

    number: int
    device_ns: int
    clock: DeviceClock
    arrival_ns: int
    rgb: np.ndarray
    intrinsics: np.ndarray
    depth_m: np.ndarray | None = None
    depth_lost: bool = False


class FrameSource(Protocol):
    """One connection to one camera, streaming since it was made. Used by one thread."""

    def wait(self, timeout_s: float) -> SourceFrame | None:
        """Return the newest frame that was not given yet, or None if none came within `timeout_s`.

        Raises:
            HardwareError: the connection is lost; it will not come back.
        """
        ...

    def close(self) -> None:
        """Free the device; must not raise."""
        ...
