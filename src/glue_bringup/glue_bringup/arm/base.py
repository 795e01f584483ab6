"""What every arm is: a state to read and an impedance target to set."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float

from glue_perception.types import RobotState


class ArmDriver(Protocol):
    """A connected arm under Cartesian impedance control. Targets come from the safety supervisor alone.

    Life cycle: built (connects, checks the model), `start` (control on, target = current pose, so nothing
    moves), any number of `set_target`, `stop` (comes to rest, control off). One control thread calls it. Another way
    to a robot (panda_py, a ROS controller) is one more class with these methods.
    """

    def start(self) -> None:
        """Switch impedance control on, with the current pose as its target.

        Raises:
            HardwareError: the robot refuses; the message says why and what to do.
        """
        ...

    def state(self) -> RobotState:
        """Return the newest state.

        Raises:
            HardwareError: the connection is lost or the robot reports a fault.
        """
        ...

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set the impedance target; takes effect in the next control cycle.

        Raises:
            HardwareError: control is no longer active; the message names the cause.
        """
        ...

    def stop(self) -> None:
        """Come to rest and switch control off. Safe to call twice and after a fault."""
        ...
