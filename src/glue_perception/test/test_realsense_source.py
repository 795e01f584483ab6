"""What comes out of the RealSense SDK's real objects: images, depth, numbers, stamps and options."""

import sys

import numpy as np
import pytest

from glue_perception.cameras.frame_source import DeviceClock
from glue_perception.cameras.realsense_config import PowerLineFrequency, RealSenseConfig
from glue_perception.cameras.realsense_options import depth_size
from glue_perception.cameras.sources import open_camera
from glue_perception.errors import ConfigError, HardwareError, MissingDependencyError
from glue_perception.timing import ManualClock

rs = pytest.importorskip("pyrealsense2", reason="needs pyrealsense2 (pip install pyrealsense2)")

from software_camera import (  # noqa: E402
    GLOBAL,
    HARDWARE,
    HEIGHT,
    SMALL,
    SYSTEM,
    UNIT_M,
    WIDTH,
    SoftwareCamera,
)

from glue_perception.cameras.realsense import RealSenseSource, find_device  # noqa: E402

NOTHING = np.zeros((HEIGHT, WIDTH), np.uint16)


@pytest.fixture
def camera():
    return SoftwareCamera()


@pytest.fixture
def opened(camera):
    sources = []

    def open_source(**settings):
        sources.append(camera.source(**settings))
        return sources[-1]

    yield open_source
    for source in sources:
        source.close()


def test_an_image_comes_as_it_was_sent(camera, opened):
    source = opened()
    rgb = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    camera.send(7, 1234.5, rgb)
    frame = source.wait(1.0)
    assert np.array_equal(frame.rgb, rgb)
    assert frame.number == 7
    assert frame.device_ns == 1_234_500_000
    assert frame.arrival_ns == 10**18
    assert frame.depth_m is None
    assert frame.intrinsics.tolist() == [[600, 0, 323.5], [0, 600, 237.5], [0, 0, 1]]


def test_other_resolutions_have_their_own_intrinsics(camera, opened):
    source = opened(width_px=SMALL[0], height_px=SMALL[1])
    camera.send(1, size=SMALL)
    frame = source.wait(1.0)
    assert frame.rgb.shape == (240, 320, 3)
    assert frame.intrinsics[0, 0] == 300.0


def test_images_are_copied_out_of_the_sdks_buffers(camera, opened):
    source = opened()
    frames = []
    for number in range(1, 60):
        camera.send(number)
        frames.append(source.wait(1.0))
    assert [int(frame.rgb.mean()) for frame in frames] == list(range(1, 60))
    assert all(frame.rgb.flags.owndata for frame in frames)


@pytest.mark.parametrize("settings", [{}, {"depth": True}], ids=["color", "with depth"])
def test_the_newest_frame_comes_and_older_ones_are_gone(camera, opened, settings):
    source = opened(**settings)
    for number in range(1, 20):
        camera.send(number, depth=NOTHING)
    assert source.wait(1.0).number == 19
    assert source.wait(0.01) is None


@pytest.mark.parametrize(
    ("domain", "clock"),
    [
        (HARDWARE, DeviceClock.HARDWARE),
        (GLOBAL, DeviceClock.HOST_SYNCED),
        (SYSTEM, DeviceClock.HOST_ARRIVAL),
    ],
)
def test_timestamp_domains(camera, opened, domain, clock):
    source = opened()
    camera.send(1, 1.7e12, domain=domain)
    frame = source.wait(1.0)
    assert frame.clock is clock
    assert frame.device_ns == 1_700_000_000_000_000_000


def test_depth_is_aligned_to_colour_in_metres():
    """The depth sensor sits 5 cm beside the colour sensor: at 1 m, its image moves by 600 * 0.05 px."""
    camera = SoftwareCamera(shift_m=0.05)
    source = camera.source(depth=True)
    raw = NOTHING.copy()
    raw[200:260, 100:160] = round(1.0 / UNIT_M)
    camera.send(1, depth=raw)
    camera.send(2, depth=raw)
    depth_m = source.wait(1.0).depth_m
    source.close()
    assert depth_m.dtype == np.float32
    assert depth_m.shape == (HEIGHT, WIDTH)
    rows, columns = np.nonzero(depth_m)
    assert (columns.min(), columns.max()) == pytest.approx((130, 189), abs=1.0)
    assert (rows.min(), rows.max()) == pytest.approx((200, 259), abs=1.0)
    assert depth_m[rows, columns] == pytest.approx(1.0)
    # Rounding to whole pixels leaves a column empty here and there.
    assert len(rows) > 0.9 * 60 * 60


def test_a_small_depth_image_is_brought_to_the_size_of_colour(opened, camera):
    offers = {(320, 240, 30): 0, (848, 480, 30): 0, (1280, 720, 30): 0, (640, 480, 15): 0}
    assert depth_size(offers, RealSenseConfig(width_px=1280, height_px=720), "it") == (1280, 720, 30)
    assert depth_size(offers, RealSenseConfig(width_px=960, height_px=540), "it") == (848, 480, 30)
    assert depth_size(offers, RealSenseConfig(width_px=200, height_px=200), "it") == (320, 240, 30)
    with pytest.raises(ConfigError, match="depth at 60 Hz; it offers 320x240 at 30 Hz"):
        depth_size(offers, RealSenseConfig(rate_hz=60), "it")


def test_colour_without_its_depth_says_so(camera, opened):
    source = opened(depth=True)
    seen = {}
    for number in range(1, 40):
        camera.send(number, depth=None if number > 5 else NOTHING + 4000)
        if (frame := source.wait(0.02)) is not None:
            seen[frame.number] = frame
    lost = [number for number, frame in seen.items() if frame.depth_lost]
    assert lost
    assert min(lost) > 5
    assert not seen[lost[0]].depth_m.any()
    assert 1 not in seen, "the first is not yet paired"
    assert seen[3].depth_m.max() == pytest.approx(1.0)
    assert not seen[3].depth_lost


def test_options_are_set(camera, opened):
    opened(
        exposure_us=8000.0,
        gain=40.0,
        white_balance_k=4004.0,
        power_line_frequency=PowerLineFrequency.HZ_50,
    )
    option = rs.option
    assert camera.option(option.exposure) == 80.0, "in units of 100 us"
    assert camera.option(option.gain) == 40.0
    assert camera.option(option.white_balance) == 4000.0, "in steps of 10 K"
    assert camera.option(option.power_line_frequency) == 1.0
    assert camera.option(option.enable_auto_exposure) == 0.0
    assert camera.option(option.enable_auto_white_balance) == 0.0


def test_what_is_not_asked_for_is_automatic(camera, opened):
    for key in (rs.option.enable_auto_exposure, rs.option.enable_auto_white_balance):
        camera.color_sensor.set_option(key, 0.0)
    opened()
    option = rs.option
    assert camera.option(option.enable_auto_exposure) == 1.0
    assert camera.option(option.enable_auto_white_balance) == 1.0
    assert camera.option(option.auto_exposure_priority) == 0.0, "or the rate falls in the dark"
    assert camera.option(option.global_time_enabled) == 1.0
    assert camera.option(option.power_line_frequency) == 2.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width_px": 1280, "height_px": 720}, "it offers 320x240 at 30 Hz; 640x480 at 30 Hz"),
        ({"rate_hz": 60}, "640x480 at 60 Hz; it offers"),
        ({"exposure_us": 20.0}, r"exposure_us of .* must lie in 100..1e\+06, not 20"),
        ({"exposure_us": 5000.0, "gain": 200.0}, "gain of .* must lie in 0..128, not 200"),
        ({"white_balance_k": 9000.0}, "must lie in 2800..6500, not 9000"),
        ({"power_line_frequency": PowerLineFrequency.AUTO}, "must lie in 0..2, not 3 .*50hz"),
    ],
)
def test_what_the_camera_cannot_do(camera, settings, words):
    with pytest.raises(ConfigError, match=words):
        camera.source(**settings)
    source = camera.source()
    camera.send(1)
    assert source.wait(1.0).number == 1, "a refused configuration leaves the device free"
    source.close()


def test_a_camera_without_options_and_on_usb_2():
    camera = SoftwareCamera(options=False, usb="2.1")
    camera.source().close()
    with pytest.raises(ConfigError, match=r"has no gain to set|has no exposure_us to set"):
        camera.source(exposure_us=5000.0, gain=3.0)
    with pytest.raises(ConfigError, match=r"\(USB 2.1\) does not offer .* USB 2 port offers less"):
        camera.source(rate_hz=60)


@pytest.mark.parametrize("focal_px", [0.0, float("nan")])
def test_a_camera_without_calibration(focal_px):
    with pytest.raises(HardwareError, match="no usable calibration"):
        SoftwareCamera(focal_px=focal_px).source()


def test_a_device_in_use(camera, opened):
    opened()
    with pytest.raises(HardwareError, match=r"does not start .*no other program uses it"):
        camera.source()


def test_closing_frees_the_device(camera):
    for _ in range(3):
        source = camera.source(depth=True)
        camera.send(1, depth=NOTHING)
        camera.send(2, depth=NOTHING)
        assert source.wait(1.0) is not None
        source.close()
        source.close()


def test_no_camera_is_connected():
    """The SDK's real list of devices, on a machine without one."""
    if len(rs.context().query_devices()):
        pytest.skip("a RealSense camera is connected here")
    with pytest.raises(HardwareError, match=r"no RealSense camera is connected.*cable.*USB 3.*udev rules"):
        open_camera("realsense")
    with pytest.raises(HardwareError, match="no RealSense camera 0815 is connected"):
        open_camera("realsense:0815")


class Connected:
    """Stands for the SDK's context: software devices cannot be listed by a real one."""

    def __init__(self, *cameras):
        self.cameras = cameras

    def query_devices(self):
        return [camera.device for camera in self.cameras]


def test_which_camera():
    one, two = SoftwareCamera("111"), SoftwareCamera("222")
    found = find_device(rs, Connected(one, two), "222")
    assert found.get_info(rs.camera_info.serial_number) == "222"
    assert find_device(rs, Connected(one), None).get_info(rs.camera_info.serial_number) == "111"
    with pytest.raises(ConfigError, match=r"several .*111.*222.*realsense:SERIAL"):
        find_device(rs, Connected(one, two), None)
    with pytest.raises(HardwareError, match="333 is not connected, but RealSense Software 111"):
        find_device(rs, Connected(one), "333")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(MissingDependencyError, match="pip install 'pyrealsense2"):
        open_camera("realsense")


class Wire:
    """A software device with a cable: what the SDK says of it can be made to change."""

    def __init__(self, device):
        self._device = device
        self.is_connected = lambda: True

    def __getattr__(self, name):
        return getattr(self._device, name)


def test_an_unplugged_camera_is_noticed_when_it_is_silent(camera):
    wire = Wire(camera.device)
    source = RealSenseSource(rs, wire, RealSenseConfig(), ManualClock(1))
    assert source.wait(0.01) is None
    wire.is_connected = lambda: False
    camera.send(1)
    assert source.wait(1.0).number == 1
    with pytest.raises(HardwareError, match=r"RealSense Software 831612073525 .* was unplugged"):
        source.wait(0.01)
    source.close()


def test_a_fault_of_the_sdk_is_a_hardware_error(camera):
    def fault():
        raise RuntimeError("hwmon command failed")

    wire = Wire(camera.device)
    source = RealSenseSource(rs, wire, RealSenseConfig(), ManualClock(1))
    wire.is_connected = fault
    with pytest.raises(HardwareError, match="reports a fault: hwmon command failed"):
        source.wait(0.01)
    source.close()


def test_the_hosts_clock_is_read_when_a_frame_comes(camera):
    clock = ManualClock(5)
    source = camera.source(clock)
    clock.advance_ns(100)
    camera.send(1)
    assert source.wait(1.0).arrival_ns == 105
    source.close()
