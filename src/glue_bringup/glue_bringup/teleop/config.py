"""Settings of teleoperation. The paper names the SpaceMouse and 10 Hz (V-A) and nothing else: the rest was chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from glue_perception.errors import ConfigError


class Rotation(StrEnum):
    """Whether the operator turns the tool as well. OFF suits tasks with the gripper straight down."""

    ON = "on"
    OFF = "off"


class Deadman(StrEnum):
    """BUTTON: the arm moves only while the deadman button is held. NONE: letting go of the handle stops it."""

    BUTTON = "button"
    NONE = "none"


@dataclass(frozen=True)
class TeleopConfig:
    """How a handle moves the tool.

    Attributes:
        linear_speed_m_s: At full deflection.
        angular_speed_rad_s: At full deflection.
        dead_band: Deflection, per axis, that counts as none; above it speed grows from zero.
        rotation: See `Rotation`.
        deadman: See `Deadman`.
        deadman_button: Index of the button.
        gripper_button: Index of the button that opens and closes.
        failure_button: Index of a button that ends a recording as a failure; null: none has this meaning.
        discard_button: The same for one that nobody wants.
        open_width_m: Commanded width of the open hand.
        closed_width_m: Of the closed one.
        stale_after_s: A deflected handle reports more than 50 times a second; silence for so long means that it is
            gone. At rest it is silent by nature.
        stuck_after_s: A hand trembles: a deflected handle that repeats its values exactly for so long is stuck.
        max_lead_m: How far the target may be ahead of the tool, so that a blocked arm does not jump when it is free.
        max_lead_rad: The same for rotation.

    Raises:
        ConfigError: a value is out of range.
    """

    linear_speed_m_s: float = 0.15
    angular_speed_rad_s: float = 0.6
    dead_band: float = 0.08
    rotation: Rotation = Rotation.ON
    deadman: Deadman = Deadman.BUTTON
    deadman_button: int = 0
    gripper_button: int = 1
    failure_button: int | None = None
    discard_button: int | None = None
    open_width_m: float = 0.08
    closed_width_m: float = 0.0
    stale_after_s: float = 0.3
    stuck_after_s: float = 2.0
    max_lead_m: float = 0.05
    max_lead_rad: float = 0.3

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0.0):
                raise ConfigError(f"teleop.{f.name} must be finite and not negative, not {value}")
        for name, most in (("linear_speed_m_s", 0.5), ("angular_speed_rad_s", 1.5), ("dead_band", 0.5)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ConfigError(f"teleop.{name} must lie in 0..{most:g}, not {getattr(self, name)}")
        for name in ("stale_after_s", "stuck_after_s", "max_lead_m", "max_lead_rad"):
            if getattr(self, name) == 0.0:
                raise ConfigError(f"teleop.{name} must be positive")
        buttons = [self.deadman_button, self.gripper_button, self.failure_button, self.discard_button]
        used = [button for button in buttons if button is not None]
        if min(used) < 0 or len(set(used)) < len(used):
            raise ConfigError(
                f"teleop.deadman_button, gripper_button, failure_button and discard_button must differ, not {buttons}"
            )
        if not self.closed_width_m < self.open_width_m <= 0.08:
            raise ConfigError(
                "teleop.closed_width_m must be below open_width_m, and that 0.08 at most, not "
                f"{self.closed_width_m} and {self.open_width_m}"
            )

    def for_keyboard(self) -> TeleopConfig:
        """Return the settings for a keyboard: letting go of a key stops the arm, and a key never trembles."""
        return replace(self, deadman=Deadman.NONE, stuck_after_s=600.0)
