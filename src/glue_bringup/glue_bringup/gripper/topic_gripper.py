"""A gripper that is spoken to by topics, its opening as a share of the widest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from glue_perception.errors import ConfigError, HardwareError


@dataclass(frozen=True)
class TopicGripperConfig:
    """How a gripper behind topics moves.

    Attributes:
        max_width_m: Opening that is 1 on the topics; the Franka hand's 0.08.
        hysteresis_m: A request that differs less from the last one is ignored.
        silence_timeout_s: An opening older than this: lost.

    Raises:
        ConfigError: a value that is not above 0.
    """

    max_width_m: float = 0.08
    hysteresis_m: float = 0.005
    silence_timeout_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("max_width_m", "hysteresis_m", "silence_timeout_s"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")


class TopicGripper:
    """A `Gripper`; `note_share` may come from any thread.

    Args:
        send: Publishes the wanted opening, 0 closed to 1 open.
        config: How it moves.
    """

    def __init__(self, send: Callable[[float], None], config: TopicGripperConfig | None = None) -> None:
        self._send, self._config = send, config or TopicGripperConfig()
        self._came, self._share, self._arrival_s = threading.Event(), 0.0, 0.0
        self._asked_m: float | None = None

    def note_share(self, share: float) -> None:
        """Take the measured opening, 0 to 1; values beyond are cut, as fingers measure past their ends."""
        if share == share:
            self._share, self._arrival_s = min(1.0, max(0.0, share)), time.monotonic()
            self._came.set()

    def wait(self, timeout_s: float) -> None:
        """Wait for the first opening; HardwareError if none comes."""
        if not self._came.wait(timeout_s):
            raise HardwareError(
                f"no opening of the gripper has come within {timeout_s:g} s; start its adapter, or see its topics"
            )

    def command(self, width_m: float) -> None:
        """Ask for an opening [m]; returns at once.

        Raises:
            HardwareError: the gripper is silent.
        """
        silent_s = time.monotonic() - self._arrival_s
        if silent_s > self._config.silence_timeout_s:
            raise HardwareError(f"the gripper is silent since {silent_s:.1f} s; look at its driver")
        if self._asked_m is not None and abs(width_m - self._asked_m) < self._config.hysteresis_m:
            return
        self._asked_m = width_m
        self._send(min(1.0, max(0.0, width_m / self._config.max_width_m)))

    def width_m(self) -> float:
        """Return the newest opening [m]."""
        return self._share * self._config.max_width_m

    def stop(self) -> None:
        """Forget the last request: the next one is sent whatever it is. The fingers stay as they are."""
        self._asked_m = None
