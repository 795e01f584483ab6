"""What every gripper is: a width to ask for, never blocking the arm."""

from __future__ import annotations

from typing import Protocol


class Gripper(Protocol):
    """A gripper whose motions run in the background."""

    def command(self, width_m: float) -> None:
        """Ask for an opening; returns at once. A request that hardly differs from the last is ignored.

        Raises:
            HardwareError: the gripper reported a fault since the last call.
        """
        ...

    def width_m(self) -> float:
        """Return the newest known opening."""
        ...

    def stop(self) -> None:
        """Stop any motion and free the gripper. Safe to call twice."""
        ...
