"""A 3Dconnexion SpaceMouse through pyspacemouse; the one place that imports it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from glue_bringup.teleop.device import DeviceReading
from glue_perception.errors import HardwareError, MissingDependencyError
from glue_perception.timing import Clock, SystemClock

INSTALL = "pip install 'pyspacemouse>=2.1,<3' and, on Debian and Ubuntu, apt install libhidapi-hidraw0"
CHECKLIST = (
    "check its cable or receiver, that a udev rule lets you read /dev/hidraw*, and that no other program such as "
    "spacenavd holds it (docs/recording.md)"
)
POLL_S = 0.005
"""A deflected handle sends up to 250 reports a second, and the kernel keeps 64."""

MAX_REPORTS_PER_POLL = 64
AXES = ("x", "y", "z", "roll", "pitch", "yaw")


def load_package() -> Any:
    """Return the module pyspacemouse.

    Raises:
        MissingDependencyError: it is not installed, or does not load.
    """
    try:
        return importlib.import_module("pyspacemouse")
    except (ImportError, OSError) as error:
        raise MissingDependencyError(f"a SpaceMouse needs pyspacemouse ({error}); run: {INSTALL}") from error


def open_spacemouse(clock: Clock | None = None) -> SpaceMouse:
    """Return the connected SpaceMouse, polled by a thread of its own.

    Raises:
        MissingDependencyError: pyspacemouse, or the hidapi library beneath it, is not installed.
        HardwareError: none is connected, or it may not be read.
    """
    package = load_package()
    mouse = SpaceMouse(_open(package), clock, reopen=lambda: _open(package))
    mouse.start()
    return mouse


def _open(package: Any) -> Any:
    try:
        return package.open(axis_convention=package.AxisConvention.ROS)
    except AttributeError as error:  # how the package meets a missing hidapi
        raise MissingDependencyError(f"pyspacemouse finds no hidapi ({error}); run: {INSTALL}") from error
    except Exception as error:
        if "HID API" in str(error):
            raise MissingDependencyError(f"{error}; run: {INSTALL}") from error
        raise HardwareError(f"no SpaceMouse can be opened ({error}); {CHECKLIST}") from error


class SpaceMouse:
    """Turns the device's reports into readings.

    Args:
        device: A pyspacemouse `SpaceMouseDevice` in the axis convention ROS: x forward, y left, z up.
        clock: The host's.
        reopen: Opens the device again after it was lost; None to leave it lost.
    """

    def __init__(
        self, device: Any, clock: Clock | None = None, reopen: Callable[[], Any] | None = None
    ) -> None:
        self._reported = False
        self._device = self._listen(device)
        self._clock = clock or SystemClock()
        self._reopen = reopen
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure = ""
        self._pressed: tuple[bool, ...] = ()
        self._presses: tuple[int, ...] = ()
        self._reading = DeviceReading(self._clock.now_ns(), np.zeros(6))

    @property
    def name(self) -> str:
        """The model, as pyspacemouse calls it."""
        return str(self._device.name)

    def start(self) -> None:
        """Poll in a thread until `close`."""
        self._thread = threading.Thread(target=self._poll_on, name="spacemouse", daemon=True)
        self._thread.start()

    def poll(self) -> None:
        """Take in the reports that have come; a lost device is opened again where that is possible."""
        try:
            if self._failure and self._reopen is not None:
                self._device = self._listen(self._reopen())
                with self._lock:
                    self._failure, self._pressed = "", ()
                    self._reading = DeviceReading(self._clock.now_ns(), np.zeros(6))
            for _ in range(MAX_REPORTS_PER_POLL):
                if not self._take_report():
                    return
        except Exception as error:  # hidapi's own, whose class is another package's
            with self._lock:
                self._failure = self._failure or str(error) or type(error).__name__
            with suppress(Exception):
                self._device.close()

    def read(self) -> DeviceReading:
        """Return the newest reading.

        Raises:
            HardwareError: the device was unplugged.
        """
        with self._lock:
            if self._failure:
                raise HardwareError(f"the SpaceMouse is gone ({self._failure}); {CHECKLIST}")
            return self._reading

    def close(self) -> None:
        """Stop polling and free the device."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)
        with suppress(Exception):
            self._device.close()

    def _poll_on(self) -> None:
        while not self._stop.wait(0.5 if self._failure else POLL_S):
            self.poll()

    def _take_report(self) -> bool:
        """Read one report; return whether there was one, which the package tells by its callback alone."""
        self._reported = False
        state = self._device.read()
        if not self._reported:
            return False
        pressed = tuple(bool(button) for button in state.buttons)
        was = self._pressed or (False,) * len(pressed)
        counts = self._presses or (0,) * len(pressed)
        presses = tuple(n + (now and not then) for n, now, then in zip(counts, pressed, was, strict=True))
        axes = np.array([float(getattr(state, axis)) for axis in AXES])
        with self._lock:
            self._pressed, self._presses = pressed, presses
            self._reading = DeviceReading(self._clock.now_ns(), axes, pressed, presses)
        return True

    def _listen(self, device: Any) -> Any:
        device.configure(callback=self._note_report)
        return device

    def _note_report(self, state: Any) -> None:
        self._reported = True
