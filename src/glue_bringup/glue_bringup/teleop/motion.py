"""From readings of a handle to velocities: dead band, scale, deadman, and everything that may be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float

from glue_bringup.teleop.config import Deadman, Rotation, TeleopConfig
from glue_bringup.teleop.device import DeviceReading
from glue_perception.timing import NS_PER_S

MAX_AXIS = 1.5
"""Devices overshoot their nominal end a little; beyond this a value is no deflection."""


class TeleopState(StrEnum):
    """MOVING and AT_REST: all is well. The others say why the handle is not followed."""

    MOVING = "moving"
    AT_REST = "at_rest"
    DEADMAN = "deadman_released"
    LOST = "device_lost"
    BAD_VALUE = "device_bad_value"
    STUCK = "device_stuck"
    NOT_CENTRED = "device_not_centred"


FAULTS = frozenset({TeleopState.LOST, TeleopState.BAD_VALUE, TeleopState.STUCK})


@dataclass(frozen=True, eq=False)
class Motion:
    """What the operator wants now, base frame.

    Attributes:
        linear_m_s: Velocity of the tool centre point; zero unless the state is MOVING.
        angular_rad_s: Angular velocity.
        toggle_gripper: Whether the gripper button was pressed an odd number of times since the last motion.
        state: Why.
    """

    linear_m_s: Float[np.ndarray, "3"]
    angular_rad_s: Float[np.ndarray, "3"]
    toggle_gripper: bool
    state: TeleopState


class TeleopMotion:
    """A pure state machine: no thread and no clock of its own.

    At the start and after every fault (lost, stuck, not a number) the handle is followed again only once it has
    been seen at its centre with the deadman released, so that a device that comes back deflected moves nothing.
    """

    def __init__(self, config: TeleopConfig) -> None:
        self._config = config
        self._armed = False
        self._presses: int | None = None
        self._last_axes = np.zeros(6)
        self._same_since_ns = np.zeros(6, dtype=np.int64)

    def update(self, reading: DeviceReading | None, now_ns: int) -> Motion:
        """Return what to do now.

        Args:
            reading: The newest one; None where the device is gone.
            now_ns: Time.
        """
        if reading is None:
            self._presses = None
            return self._fault(TeleopState.LOST)
        if np.shape(reading.axes) != (6,) or not np.all(np.isfinite(reading.axes)):
            return self._fault(TeleopState.BAD_VALUE)
        if np.abs(reading.axes).max() > MAX_AXIS:
            return self._fault(TeleopState.BAD_VALUE)
        toggle = self._toggled(reading)
        axes = self._shaped(reading.axes)
        deflected = bool(np.any(axes))
        # From the future is as wrong as from the past: the clocks differ.
        if deflected and abs(now_ns - reading.stamp_ns) > self._config.stale_after_s * NS_PER_S:
            return self._fault(TeleopState.LOST)
        if self._is_stuck(reading, axes != 0.0):
            return self._fault(TeleopState.STUCK)
        held = self._deadman_held(reading)
        if not self._armed:
            if deflected or (held and self._config.deadman is Deadman.BUTTON):
                return _still(TeleopState.NOT_CENTRED)
            self._armed = True
        if not held:
            return _still(TeleopState.DEADMAN)
        if not deflected:
            return _still(TeleopState.AT_REST, toggle)
        linear = axes[:3] * self._config.linear_speed_m_s
        angular = axes[3:] * self._config.angular_speed_rad_s
        return Motion(linear, angular, toggle, TeleopState.MOVING)

    def _shaped(self, axes: Float[np.ndarray, "6"]) -> Float[np.ndarray, "6"]:
        """Return -1..1 beyond the dead band, from zero on, with rotation left out where it is off."""
        dead = self._config.dead_band
        size = np.clip((np.minimum(np.abs(axes), 1.0) - dead) / (1.0 - dead), 0.0, 1.0)
        shaped: np.ndarray = np.sign(axes) * size
        if self._config.rotation is Rotation.OFF:
            shaped[3:] = 0.0
        return shaped

    def _toggled(self, reading: DeviceReading) -> bool:
        button = self._config.gripper_button
        presses = reading.presses[button] if button < len(reading.presses) else 0
        before, self._presses = self._presses, presses
        return before is not None and (presses - before) % 2 == 1

    def _deadman_held(self, reading: DeviceReading) -> bool:
        if self._config.deadman is Deadman.NONE:
            return True
        return reading.is_down(self._config.deadman_button)

    def _is_stuck(self, reading: DeviceReading, deflected: Bool[np.ndarray, "6"]) -> bool:
        """Return whether some axis repeats its value for too long while reports go on."""
        same = deflected & (reading.axes == self._last_axes)
        self._last_axes = np.array(reading.axes)
        self._same_since_ns = np.where(same, self._same_since_ns, reading.stamp_ns)
        longest_ns = int(reading.stamp_ns - self._same_since_ns.min())
        return longest_ns > self._config.stuck_after_s * NS_PER_S

    def _fault(self, state: TeleopState) -> Motion:
        self._armed = False
        return _still(state)


def _still(state: TeleopState, toggle_gripper: bool = False) -> Motion:
    return Motion(np.zeros(3), np.zeros(3), toggle_gripper, state)
