"""Faults of the way to the robot, injected into the twin that speaks the robot's own protocol."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkFault:
    """One fault.

    Attributes:
        name: Short, unique.
        inject: Given the process of the robot's server.
        end: Takes it back; None if that is not possible, and the server has to be started again.
        recovery: How the arm comes back, in words.
    """

    name: str
    inject: Callable[[int], None]
    end: Callable[[int], None] | None
    recovery: str


NETWORK_FAULTS: tuple[NetworkFault, ...] = (
    NetworkFault(
        "robot freezes: no packet comes or goes",
        lambda pid: os.kill(pid, signal.SIGSTOP),
        lambda pid: os.kill(pid, signal.SIGCONT),
        "recover (driver or service), start, then a new chunk",
    ),
    NetworkFault(
        "robot's server is killed",
        lambda pid: os.kill(pid, signal.SIGKILL),
        None,
        "recover (driver or service), once the robot answers again",
    ),
)
