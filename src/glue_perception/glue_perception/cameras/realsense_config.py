"""Settings of a RealSense camera."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from glue_perception.cameras.reconnect import ReconnectConfig
from glue_perception.errors import ConfigError


class PowerLineFrequency(Enum):
    """Mains frequency whose flicker automatic exposure avoids."""

    DISABLED = "disabled"
    HZ_50 = "50hz"
    HZ_60 = "60hz"
    AUTO = "auto"


_RANGES: dict[str, tuple[float, float, str]] = {
    "width_px": (160, 4096, " px"),
    "height_px": (120, 3072, " px"),
    "rate_hz": (1, 300, " Hz"),
    "warm_up_frames": (0, 300, ""),
    "exposure_us": (1, 200_000, " us, or null for automatic exposure"),
    "gain": (0, 512, " in the camera's own unit, or null for the camera's default"),
    "white_balance_k": (2000, 10_000, " K, or null for automatic white balance"),
}


@dataclass(frozen=True)
class RealSenseConfig:
    """One RealSense camera and its colour stream. The `realsense` section of a YAML file.

    The ranges checked here are those of any camera; what the connected one offers is checked when it is opened.

    Attributes:
        serial: Serial number as printed on the camera and by `rs-enumerate-devices -s`; None takes the only
            camera there.
        width_px: Of the colour stream.
        height_px: Of the colour stream.
        rate_hz: Frames per second; cameras offer a few, e.g. 6, 15, 30 and 60.
        exposure_us: Exposure time, or None for automatic exposure.
        gain: Only with a fixed `exposure_us`; None leaves what the camera has.
        white_balance_k: Colour temperature, or None for automatic white balance.
        power_line_frequency: None leaves what the camera has (60 Hz from the factory).
        depth: Whether frames carry depth aligned to colour.
        warm_up_frames: So many frames of each connection are left out, while exposure settles and the clock mapping
            learns the usual delay.
        reconnect: When the camera counts as lost, and how patiently it is looked for.

    Raises:
        ConfigError: a value is out of range, an exposure longer than a frame, a gain without a fixed exposure, or a
            stall timeout shorter than two frames.
    """

    serial: str | None = None
    width_px: int = 640
    height_px: int = 480
    rate_hz: int = 30
    exposure_us: float | None = None
    gain: float | None = None
    white_balance_k: float | None = None
    power_line_frequency: PowerLineFrequency | None = None
    depth: bool = False
    warm_up_frames: int = 15
    reconnect: ReconnectConfig = field(default_factory=ReconnectConfig)

    def __post_init__(self) -> None:
        for name, (low, high, unit) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} must lie in {low:g}..{high:g}{unit}, not {value:g}")
        if self.serial is not None and not self.serial.isalnum():
            raise ConfigError(
                f"serial must be letters and digits as printed on the camera, not {self.serial!r}"
            )
        if self.exposure_us is not None and self.exposure_us > 1e6 / self.rate_hz:
            raise ConfigError(
                f"exposure_us must be at most one frame, {1e6 / self.rate_hz:.0f} us at {self.rate_hz} Hz, "
                f"not {self.exposure_us:g}"
            )
        if self.gain is not None and self.exposure_us is None:
            raise ConfigError(
                "gain needs a fixed exposure_us, as automatic exposure sets the gain itself; give both or neither"
            )
        if self.reconnect.stall_timeout_s * self.rate_hz < 2.0:
            raise ConfigError(
                f"reconnect.stall_timeout_s must be at least two frames, {2.0 / self.rate_hz:g} s at "
                f"{self.rate_hz} Hz, not {self.reconnect.stall_timeout_s:g}"
            )
