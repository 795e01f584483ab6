"""The keyboard of a terminal as an input device: a key moves the tool for as long as it repeats."""

from __future__ import annotations

import threading

import numpy as np

from glue_bringup.teleop.device import DeviceReading
from glue_perception.timing import NS_PER_S, Clock, SystemClock

KEYS = {
    "w": (0, 1.0),
    "s": (0, -1.0),
    "a": (1, 1.0),
    "d": (1, -1.0),
    "r": (2, 1.0),
    "f": (2, -1.0),
    "u": (3, 1.0),
    "o": (3, -1.0),
    "i": (4, 1.0),
    "k": (4, -1.0),
    "j": (5, 1.0),
    "l": (5, -1.0),
}
"""Key -> axis and direction."""

GRIPPER_KEY = "g"
HELP = "w/s forward/back  a/d left/right  r/f up/down  u/o i/k j/l turn about x y z  g gripper"
HELD_NS = NS_PER_S // 5
"""A terminal tells of no release: a key counts as held for so long after its newest character. Terminals repeat
a held key 25 times a second or so, after a first pause of a quarter of a second and more, in
which the arm stops again."""


class Keyboard:
    """An input device fed with characters, by whoever reads the terminal. Letting go stops, so no deadman is needed.

    `feed` and `read` may be called from two threads.
    """

    name = "keyboard"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._until_ns: dict[str, int] = {}
        self._gripper_presses = 0

    def feed(self, key: str) -> bool:
        """Take a character; return whether it is one of the device's."""
        with self._lock:
            if key == GRIPPER_KEY:
                self._gripper_presses += 1
            elif key in KEYS:
                self._until_ns[key] = self._clock.now_ns() + HELD_NS
            else:
                return False
        return True

    def read(self) -> DeviceReading:
        """Return which axes are held now; the gripper is button 1, as a SpaceMouse's right one."""
        now_ns = self._clock.now_ns()
        axes = np.zeros(6)
        with self._lock:
            for key, until_ns in self._until_ns.items():
                axis, direction = KEYS[key]
                axes[axis] += direction if until_ns > now_ns else 0.0
            return DeviceReading(now_ns, axes, (True, False), (0, self._gripper_presses))

    def close(self) -> None:
        """Nothing to free."""
