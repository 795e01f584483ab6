"""What every input device gives: where its handle is and how often its buttons were pressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class DeviceReading:
    """One reading. Values come from hardware and are not checked here: `TeleopMotion` does.

    Attributes:
        stamp_ns: Time of the device's newest report, host clock.
        axes: x forward, y left, z up, then rotation about x, y and z; -1..1, all along the robot's base frame for an
            operator who looks where the robot looks.
        pressed: Whether each button is down now.
        presses: How often each button went down so far, so that a press between two readings counts.
    """

    stamp_ns: int
    axes: Float[np.ndarray, "6"]
    pressed: tuple[bool, ...] = ()
    presses: tuple[int, ...] = ()

    def is_down(self, button: int) -> bool:
        """Return whether a button is down; one that the device does not have never is."""
        return button < len(self.pressed) and self.pressed[button]


class TeleopDevice(Protocol):
    """An input device. `read` never waits; one thread calls it."""

    @property
    def name(self) -> str:
        """For people and for the record."""
        ...

    def read(self) -> DeviceReading:
        """Return the newest reading.

        Raises:
            HardwareError: the device is gone; a later call may find it again.
        """
        ...

    def close(self) -> None:
        """Free the device. Safe to call twice."""
        ...
