"""Streams and options of a RealSense device: what it offers, and setting what is asked for. The SDK is handed in."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from glue_perception.cameras.realsense_config import PowerLineFrequency, RealSenseConfig
from glue_perception.errors import ConfigError

Size = tuple[int, int, int]
"""Width and height in px, rate in Hz."""

POWER_LINE_VALUES = {
    PowerLineFrequency.DISABLED: 0.0,
    PowerLineFrequency.HZ_50: 1.0,
    PowerLineFrequency.HZ_60: 2.0,
    PowerLineFrequency.AUTO: 3.0,
}


def serial_of(sdk: Any, device: Any) -> str:
    """Return a device's serial number; empty for one that tells none, as when its firmware is being restored."""
    return _info(device, sdk.camera_info.serial_number)


def _info(device: Any, key: Any) -> str:
    return str(device.get_info(key)) if device.supports(key) else ""


def describe(sdk: Any, device: Any) -> str:
    """Return the device's name, serial number and kind of USB port, as far as it tells them."""
    usb = _info(device, sdk.camera_info.usb_type_descriptor)
    words = [_info(device, sdk.camera_info.name) or "RealSense camera", serial_of(sdk, device)]
    if usb:
        words.append(f"(USB {usb})")
    return " ".join(word for word in words if word)


def offered(device: Any, stream: Any, pixel_format: Any) -> dict[Size, tuple[Any, Any]]:
    """Return what a device offers of one stream in one format: size and rate -> (sensor, profile)."""
    found: dict[Size, tuple[Any, Any]] = {}
    for sensor in device.query_sensors():
        for profile in sensor.get_stream_profiles():
            if profile.stream_type() == stream and profile.format() == pixel_format:
                video = profile.as_video_stream_profile()
                found.setdefault((video.width(), video.height(), video.fps()), (sensor, profile))
    return found


def color_size(offers: dict[Size, Any], config: RealSenseConfig, camera: str) -> Size:
    """Return the colour stream that is asked for.

    Raises:
        ConfigError: the camera does not offer it; the message lists what it offers.
    """
    wanted = (config.width_px, config.height_px, config.rate_hz)
    if wanted in offers:
        return wanted
    hint = " A USB 2 port offers less than a USB 3 port; change it if you can." if "(USB 2" in camera else ""
    raise ConfigError(
        f"{camera} does not offer RGB colour of {wanted[0]}x{wanted[1]} at {wanted[2]} Hz; it offers "
        f"{_listed(offers)}.{hint}"
    )


def depth_size(offers: dict[Size, Any], config: RealSenseConfig, camera: str) -> Size:
    """Return the depth stream to align to colour, of the colour stream's rate.

    It has the colour stream's size where that is offered, else it is the largest one that has no more pixels than
    colour, else the smallest.

    Raises:
        ConfigError: the camera offers no depth of that rate.
    """
    sizes = [size for size in offers if size[2] == config.rate_hz]
    if not sizes:
        raise ConfigError(
            f"{camera} does not offer depth at {config.rate_hz} Hz; it offers {_listed(offers)}"
        )
    same = (config.width_px, config.height_px, config.rate_hz)
    if same in sizes:
        return same
    area = config.width_px * config.height_px
    smaller = [size for size in sizes if size[0] * size[1] <= area]
    return max(smaller, key=_area) if smaller else min(sizes, key=_area)


def _area(size: Size) -> tuple[int, Size]:
    return size[0] * size[1], size


def _listed(offers: dict[Size, Any]) -> str:
    rates: dict[tuple[int, int], list[int]] = defaultdict(list)
    for width, height, rate in sorted(offers):
        rates[width, height].append(rate)
    texts = [f"{w}x{h} at {', '.join(str(r) for r in hz)} Hz" for (w, h), hz in rates.items()]
    return "; ".join(texts) or "none"


def apply_options(sdk: Any, sensor: Any, config: RealSenseConfig, camera: str) -> None:
    """Set all that the configuration says of the colour image, on the sensor that takes it.

    What the configuration leaves to the camera is set to automatic, as the camera remembers what its last user set.
    Automatic exposure must not lower the frame rate in the dark. A colour sensor counts exposure in 100 us (USB video
    class), one that also takes depth in 1 us.

    Raises:
        ConfigError: the camera lacks an option, or refuses the value as out of its range.
    """
    option = sdk.option
    exposure_unit_us = 1.0 if sensor.is_depth_sensor() else 100.0
    automatic = [
        (option.auto_exposure_priority, 0.0),
        (option.enable_auto_exposure, float(config.exposure_us is None)),
        (option.enable_auto_white_balance, float(config.white_balance_k is None)),
    ]
    for key, value in automatic:
        _set_if_there(sensor, key, value)
    line = config.power_line_frequency
    asked = [
        ("exposure_us", option.exposure, config.exposure_us, exposure_unit_us),
        ("gain", option.gain, config.gain, 1.0),
        ("white_balance_k", option.white_balance, config.white_balance_k, 1.0),
        ("power_line_frequency", option.power_line_frequency, line and POWER_LINE_VALUES[line], 1.0),
    ]
    for name, key, wanted, unit in asked:
        if wanted is not None:
            _set(sensor, key, wanted / unit, name, unit, camera)


def ask_for_host_time(sdk: Any, sensor: Any) -> None:
    """Let the SDK stamp a sensor's images in the host's time, where it can; all sensors alike, or none will match."""
    _set_if_there(sensor, sdk.option.global_time_enabled, 1.0)


def _set_if_there(sensor: Any, key: Any, value: float) -> None:
    if sensor.supports(key) and not sensor.is_option_read_only(key):
        sensor.set_option(key, value)


def _set(sensor: Any, key: Any, value: float, name: str, unit: float, camera: str) -> None:
    if not sensor.supports(key) or sensor.is_option_read_only(key):
        raise ConfigError(f"{camera} has no {name} to set; leave it out (null)")
    limits = sensor.get_option_range(key)
    if not limits.min <= value <= limits.max:
        found = value * unit
        raise ConfigError(
            f"{name} of {camera} must lie in {limits.min * unit:g}..{limits.max * unit:g}, not {found:g}"
            + (" (0 disabled, 1 50hz, 2 60hz, 3 auto)" if name == "power_line_frequency" else "")
        )
    step = limits.step or 1.0
    sensor.set_option(key, min(limits.max, limits.min + round((value - limits.min) / step) * step))
