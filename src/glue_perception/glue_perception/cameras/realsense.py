"""A RealSense camera through its SDK's Python package, pyrealsense2; the one place that imports it.

Everything below `RealSenseSource` takes an SDK device, whether a camera on the USB port or the SDK's own
`software_device`, and uses the sensors of it directly: a pipeline can only be had for the former.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from glue_perception.cameras.frame_source import DeviceClock, SourceFrame
from glue_perception.cameras.live import LiveCamera
from glue_perception.cameras.realsense_config import RealSenseConfig
from glue_perception.cameras.realsense_options import (
    apply_options,
    ask_for_host_time,
    color_size,
    depth_size,
    describe,
    offered,
    serial_of,
)
from glue_perception.errors import ConfigError, HardwareError, MissingDependencyError
from glue_perception.timing import Clock, SystemClock

CHECKLIST = (
    "check that its cable is plugged in at both ends, that the port is USB 3, that the RealSense udev rules are "
    "installed, and that no other program uses it (docs/cameras.md)"
)
NS_PER_MS = 1_000_000


def load_sdk() -> Any:
    """Return the module pyrealsense2.

    Raises:
        MissingDependencyError: it is not installed, or does not load.
    """
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        raise MissingDependencyError(
            f"a RealSense camera needs pyrealsense2 ({error}); run: pip install 'pyrealsense2>=2.55'"
        ) from error


def open_realsense(config: RealSenseConfig, clock: Clock | None = None) -> LiveCamera:
    """Return the connected camera, streaming.

    Args:
        config: Which camera, and how. Without a serial number it must be the only one; after it was unplugged, only
            the same one is taken again.
        clock: The host's.

    Raises:
        HardwareError: it is not connected, or in use.
        ConfigError: several are connected and none is named, or the camera does not offer what is asked for.
        MissingDependencyError: pyrealsense2 is not installed.
    """
    sdk = load_sdk()
    context = sdk.context()
    first = find_device(sdk, context, config.serial)
    serial = serial_of(sdk, first)
    host = clock or SystemClock()

    def connect() -> RealSenseSource:
        return RealSenseSource(sdk, find_device(sdk, context, serial), config, host)

    name = describe(sdk, first)
    return LiveCamera(connect, config.rate_hz, config.reconnect, name, config.warm_up_frames)


def find_device(sdk: Any, context: Any, serial: str | None) -> Any:
    """Return the connected device of that serial number, or the only one there.

    Raises:
        HardwareError: there is none, or none of that serial number.
        ConfigError: there are several and no serial number was given.
    """
    try:
        devices = list(context.query_devices())
    except RuntimeError as error:
        raise HardwareError(f"the RealSense SDK cannot list its cameras ({error}); {CHECKLIST}") from error
    if not devices:
        wanted = f"RealSense camera {serial}" if serial else "RealSense camera"
        raise HardwareError(f"no {wanted} is connected; {CHECKLIST}")
    by_serial = {serial_of(sdk, device): device for device in devices}
    listed = ", ".join(describe(sdk, device) for device in devices)
    if serial is not None:
        if serial not in by_serial:
            raise HardwareError(f"RealSense camera {serial} is not connected, but {listed}; {CHECKLIST}")
        return by_serial[serial]
    if len(devices) > 1:
        raise ConfigError(f"several RealSense cameras are connected ({listed}); name one as realsense:SERIAL")
    return devices[0]


class RealSenseSource:
    """One connection to one RealSense device, streaming from when it is built. One thread.

    Intrinsics are the device's for the chosen resolution, as the pinhole matrix K alone. The distortion coefficients
    are neither applied nor handed on: images are left as they come, since policies learn on such images and nothing
    in this project measures with K across the image. Several models state coefficients of zero; who measures in the
    images of one that does not (`rs-enumerate-devices -c`) must undistort them first.

    Args:
        sdk: The module pyrealsense2.
        device: An SDK device, not streaming.
        config: What to stream.
        clock: The host's, for the time of arrival.

    Raises:
        ConfigError: the device does not offer what is asked for.
        HardwareError: it does not start, e.g. as another program uses it, or it carries no calibration.
    """

    def __init__(self, sdk: Any, device: Any, config: RealSenseConfig, clock: Clock) -> None:
        self._sdk, self._device, self._clock = sdk, device, clock
        self._name = describe(sdk, device)
        self._started: list[Any] = []
        self._depth, self._paired = config.depth, False
        try:
            self._start(config)
        except RuntimeError as error:
            self.close()
            raise HardwareError(f"{self._name} does not start ({error}); {CHECKLIST}") from error
        except BaseException:
            self.close()
            raise

    def wait(self, timeout_s: float) -> SourceFrame | None:
        """Return the newest frame that was not given yet, or None if none came within `timeout_s`.

        Raises:
            HardwareError: the device was unplugged, or the SDK reports a fault.
        """
        try:
            color, depth = self._take(timeout_s)
            arrival_ns = self._clock.now_ns()
            if color is not None:
                return self._copied(color, depth, arrival_ns)
            if not self._device.is_connected():  # nothing came: is there a reason?
                raise HardwareError(f"{self._name} was unplugged")
        except RuntimeError as error:
            raise HardwareError(f"{self._name} reports a fault: {error}") from error
        return None

    def close(self) -> None:
        """Stop the streams and free the device."""
        while self._started:
            sensor = self._started.pop()
            for action in (sensor.stop, sensor.close):
                try:
                    action()
                except RuntimeError:  # it is unplugged, or was not started
                    continue

    def _start(self, config: RealSenseConfig) -> None:
        sdk = self._sdk
        colors = offered(self._device, sdk.stream.color, sdk.format.rgb8)
        sensor, profile = colors[color_size(colors, config, self._name)]
        apply_options(sdk, sensor, config, self._name)
        self._intrinsics = self._pinhole_matrix(profile)
        # One place each: whoever asks gets the newest.
        self._queue = sdk.syncer(1) if config.depth else sdk.frame_queue(1)
        self._align = sdk.align(sdk.stream.color)
        if not config.depth:
            self._run(sensor, [profile])
            return
        depths = offered(self._device, sdk.stream.depth, sdk.format.z16)
        depth_sensor, depth_profile = depths[depth_size(depths, config, self._name)]
        if depth_sensor.name == sensor.name:  # one sensor takes both, as in a D405
            self._run(sensor, [profile, depth_profile])
        else:
            self._run(sensor, [profile])
            self._run(depth_sensor, [depth_profile])

    def _run(self, sensor: Any, profiles: list[Any]) -> None:
        self._started.append(sensor)
        ask_for_host_time(self._sdk, sensor)
        sensor.open(profiles)
        sensor.start(self._queue)

    def _pinhole_matrix(self, profile: Any) -> Float[np.ndarray, "3 3"]:
        found = profile.as_video_stream_profile().get_intrinsics()
        K = np.array([[found.fx, 0, found.ppx], [0, found.fy, found.ppy], [0, 0, 1]], dtype=np.float64)
        if not np.all(np.isfinite(K)) or found.fx <= 0 or found.fy <= 0:
            raise HardwareError(
                f"{self._name} carries no usable calibration (fx {found.fx:g}, fy {found.fy:g}); calibrate it with "
                "the RealSense viewer"
            )
        return K

    def _take(self, timeout_s: float) -> tuple[Any, Any]:
        """Return a colour frame and the depth frame aligned to it, each None where there is none."""
        timeout_ms = max(1, round(timeout_s * 1e3))
        if not self._depth:
            ok, frame = self._queue.try_wait_for_frame(timeout_ms)
            return (frame.as_video_frame() if ok else None), None
        ok, frames = self._queue.try_wait_for_frames(timeout_ms)
        color = frames.get_color_frame() if ok else None
        if not color:
            return None, None
        if not frames.get_depth_frame():
            # The syncer learns of the second stream by its first image; those before it are no loss of depth.
            return (color if self._paired else None), None
        self._paired = True
        aligned = self._align.process(frames)
        return aligned.get_color_frame(), aligned.get_depth_frame()

    def _copied(self, color: Any, depth: Any, arrival_ns: int) -> SourceFrame:
        rgb = np.array(np.asanyarray(color.get_data()))
        return SourceFrame(
            number=color.get_frame_number(),
            device_ns=round(color.get_timestamp() * NS_PER_MS),
            clock=self._clock_of(color.get_frame_timestamp_domain()),
            arrival_ns=arrival_ns,
            rgb=rgb,
            intrinsics=self._intrinsics,
            depth_m=self._depth_m(depth, rgb.shape[:2]) if self._depth else None,
            depth_lost=self._depth and not depth,
        )

    def _depth_m(self, depth: Any, shape: tuple[int, ...]) -> Float32[np.ndarray, "height width"]:
        if not depth:
            return np.zeros(shape, np.float32)
        depth_m: Float32[np.ndarray, "height width"] = np.asanyarray(depth.get_data()) * np.float32(
            depth.get_units()
        )
        return depth_m

    def _clock_of(self, domain: Any) -> DeviceClock:
        domains = self._sdk.timestamp_domain
        if domain == domains.global_time:
            return DeviceClock.HOST_SYNCED
        return DeviceClock.HOST_ARRIVAL if domain == domains.system_time else DeviceClock.HARDWARE
