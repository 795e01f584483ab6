"""A RealSense camera made of the SDK's own software device: real sensors, queues, syncer and frames, no camera."""

import numpy as np
import pyrealsense2 as rs

from glue_perception.cameras.realsense import RealSenseSource
from glue_perception.cameras.realsense_config import RealSenseConfig
from glue_perception.timing import ManualClock

WIDTH, HEIGHT, RATE = 640, 480, 30
SMALL = (320, 240)
UNIT_M = 0.00025
DOMAIN = rs.timestamp_domain
HARDWARE, GLOBAL, SYSTEM = DOMAIN.hardware_clock, DOMAIN.global_time, DOMAIN.system_time


class SoftwareCamera:
    """One software device with a colour and a depth sensor; `send` is what the hardware would do."""

    def __init__(self, serial="831612073525", focal_px=600.0, options=True, usb="3.2", shift_m=0.0):
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.serial_number, serial)
        self.device.register_info(rs.camera_info.name, "RealSense Software")
        self.device.register_info(rs.camera_info.usb_type_descriptor, usb)
        self.color_sensor = self.device.add_sensor("RGB Camera")
        self.depth_sensor = self.device.add_sensor("Stereo Module")
        self.depth_sensor.add_read_only_option(rs.option.depth_units, UNIT_M)
        self.color, self.depth = {}, {}
        for uid, (width, height) in enumerate([(WIDTH, HEIGHT), SMALL]):
            self.color[width, height] = self.color_sensor.add_video_stream(
                _stream(rs.stream.color, rs.format.rgb8, 3, 10 + uid, width, height, focal_px), uid == 0
            )
            self.depth[width, height] = self.depth_sensor.add_video_stream(
                _stream(rs.stream.depth, rs.format.z16, 2, 20 + uid, width, height, 600.0), uid == 0
            )
        place = rs.extrinsics()
        place.rotation, place.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [shift_m, 0, 0]
        for depth in self.depth.values():
            for color in self.color.values():
                depth.register_extrinsics_to(color, place)
        self.device.create_matcher(rs.matchers.default)
        if options:
            self._add_options()

    def _add_options(self):
        option = rs.option
        for key, low, high, default, step in [
            (option.exposure, 1, 10000, 156, 1),
            (option.gain, 0, 128, 64, 1),
            (option.white_balance, 2800, 6500, 4600, 10),
            (option.power_line_frequency, 0, 2, 2, 1),
            (option.enable_auto_exposure, 0, 1, 1, 1),
            (option.enable_auto_white_balance, 0, 1, 1, 1),
            (option.auto_exposure_priority, 0, 1, 1, 1),
            (option.global_time_enabled, 0, 1, 0, 1),
        ]:
            self.color_sensor.add_option(key, rs.option_range(low, high, default, step))

    def option(self, key):
        return self.color_sensor.get_option(key)

    def source(self, clock=None, **settings) -> RealSenseSource:
        return RealSenseSource(rs, self.device, RealSenseConfig(**settings), clock or ManualClock(10**18))

    def send(self, number, device_ms=None, rgb=None, domain=HARDWARE, size=(WIDTH, HEIGHT), depth=None):
        """One colour image (by default grey, of a level that tells its number) and, if given, raw depth with it."""
        ms = number * 1000.0 / RATE if device_ms is None else device_ms
        if rgb is None:
            rgb = np.full((size[1], size[0], 3), number % 256, np.uint8)
        if depth is not None:
            self.depth_sensor.on_video_frame(_frame(self.depth[size], depth, 2, number, ms, domain))
        self.color_sensor.on_video_frame(_frame(self.color[size], rgb, 3, number, ms, domain))


def _stream(kind, pixel_format, bytes_per_pixel, uid, width, height, focal_px):
    K = rs.intrinsics()
    K.width, K.height, K.fx, K.fy = width, height, focal_px * width / WIDTH, focal_px * width / WIDTH
    K.ppx, K.ppy = width / 2 + 3.5, height / 2 - 2.5
    K.model, K.coeffs = rs.distortion.inverse_brown_conrady, [0.0] * 5
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.bpp, stream.uid = kind, pixel_format, bytes_per_pixel, uid
    stream.index, stream.width, stream.height, stream.fps = 0, width, height, RATE
    stream.intrinsics = K
    return stream


def _frame(profile, pixels, bytes_per_pixel, number, ms, domain):
    frame = rs.software_video_frame()
    frame.pixels, frame.bpp = pixels, bytes_per_pixel
    frame.stride = pixels.shape[1] * bytes_per_pixel
    frame.timestamp, frame.domain, frame.frame_number = ms, domain, number
    frame.profile = profile.as_video_stream_profile()
    if profile.stream_type() == rs.stream.depth:
        frame.depth_units = UNIT_M
    return frame
