"""A gripper that can be connected anew: after its robot was away, or after control was switched off."""

from __future__ import annotations

from collections.abc import Callable

from glue_bringup.gripper.base import Gripper


class RenewableGripper:
    """A `Gripper` for hosts that outlive a connection. One thread, but for `width_m`.

    Args:
        connect: Returns a connected gripper; called at once, and for every new connection.

    Raises:
        HardwareError: from `connect`.
    """

    def __init__(self, connect: Callable[[], Gripper]) -> None:
        self._connect = connect
        self._gripper = connect()
        self._stopped = False

    def start(self) -> None:
        """Connect again if it was stopped; HardwareError if nobody answers."""
        if self._stopped:
            self.renew()

    def renew(self) -> None:
        """Let the connection go and make a new one; HardwareError if nobody answers."""
        self.stop()
        self._gripper = self._connect()
        self._stopped = False

    def command(self, width_m: float) -> None:
        """Ask for an opening [m]; HardwareError if the gripper reported a fault."""
        self._gripper.command(width_m)

    def width_m(self) -> float:
        """Return the newest known opening [m]. Any thread."""
        return self._gripper.width_m()

    def stop(self) -> None:
        """Stop any motion and let the gripper go. Safe to call twice."""
        self._stopped = True
        self._gripper.stop()
