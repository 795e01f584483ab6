"""An arm that can be connected anew at another address: a simulated robot that was started again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.franky_arm import FrankyArm
from glue_perception.types import RobotState


class RenewableArm:
    """An `ArmDriver` for hosts that outlive the robot. One thread calls it.

    Args:
        address: Returns where the robot is now.
        connect: Returns the arm at an address; called at once, and when the address has changed.

    Raises:
        HardwareError: from `connect`.
    """

    def __init__(self, address: Callable[[], str], connect: Callable[[str], FrankyArm]) -> None:
        self._address, self._connect = address, connect
        self._at = address()
        self._arm = connect(self._at)

    def start(self) -> None:
        """Switch control on at the current pose; see `ArmDriver`."""
        self._arm.start()

    def state(self) -> RobotState:
        """Return the newest state; see `ArmDriver`."""
        return self._arm.state()

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set the target; see `ArmDriver`."""
        self._arm.set_target(T_base_ee)

    def stop(self) -> None:
        """Come to rest and switch control off; see `ArmDriver`."""
        self._arm.stop()

    def recover(self) -> None:
        """Bring the arm back to where `start` works; HardwareError if a person has to act first."""
        address = self._address()
        if address == self._at:
            self._arm.recover()
            return
        self._arm.close()
        self._arm = self._connect(address)
        self._at = address

    def close(self) -> None:
        """Stop and let the robot go."""
        self._arm.close()
