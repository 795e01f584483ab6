"""The whole live camera on the SDK's real objects: stamps on the host's clock, drops, and a camera that returns."""

import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from glue_perception.cameras.live import LiveCamera
from glue_perception.cameras.reconnect import ReconnectConfig
from glue_perception.cameras.statistics import ClockDomain
from glue_perception.errors import HardwareError
from glue_perception.timing import SystemClock

pytest.importorskip("pyrealsense2", reason="needs pyrealsense2 (pip install pyrealsense2)")

from software_camera import GLOBAL, HARDWARE, HEIGHT, WIDTH, SoftwareCamera

PATIENT = 20.0
SETTINGS = ReconnectConfig(first_frame_timeout_s=60.0, stall_timeout_s=60.0)
IMPATIENT = ReconnectConfig(
    first_frame_timeout_s=60.0, stall_timeout_s=0.3, first_wait_s=0.01, max_wait_s=0.01
)


class Rig:
    """Software cameras on one plug, the first of them in it; device clocks count from when a camera was made."""

    def __init__(self, *cameras, reconnect=SETTINGS, **settings):
        self.waiting = deque(cameras)
        self.settings = settings
        self.plugged = None
        self.plug_in()
        self.camera = LiveCamera(self.connect, 30.0, reconnect, "the camera")

    def plug_in(self):
        self.plugged = self.waiting.popleft()
        self.boot_ns = time.time_ns()

    def connect(self):
        if self.plugged is None:
            raise HardwareError("no RealSense camera is connected")
        return self.plugged.source(SystemClock(), **self.settings)

    def unplug(self):
        """No frame comes any more, and no connection can be made."""
        self.plugged = None

    def refusal(self):
        """What a read of the camera that is not there says."""
        with pytest.raises(HardwareError) as error:
            self.camera.read(0.02)
        return str(error.value)

    def send(self, number, **fields):
        """Send a frame that is captured now; return the host's time of it."""
        now_ns = time.time_ns()
        self.plugged.send(number, (now_ns - self.boot_ns) / 1e6, **fields)
        return now_ns


def until(condition):
    deadline = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def rig():
    rigs = []

    def make(*cameras, **settings):
        rigs.append(Rig(*cameras, **settings))
        return rigs[-1]

    yield make
    for made in rigs:
        made.camera.close()


def test_frames_drops_and_stamps(rig):
    made = rig(SoftwareCamera())
    frames = []
    for number in (10, 11, 12, 15, 16):
        made.send(number)
        frames.append(made.camera.read(PATIENT))
    made.send(16)
    until(lambda: made.camera.statistics.repeated == 1)
    for number in (17, 20):
        made.send(number)
        frames.append(made.camera.read(PATIENT))
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [10, 11, 12, 15, 16, 17, 20]
    assert np.all(np.diff([frame.stamp_ns for frame in frames]) > 0)
    counts = made.camera.statistics
    assert (counts.received, counts.delivered, counts.dropped, counts.repeated) == (7, 7, 4, 1)
    assert counts.clock_domain is ClockDomain.DEVICE


def test_a_frame_is_never_stamped_before_its_capture_nor_after_its_arrival(rig):
    made = rig(SoftwareCamera())
    for number in range(1, 120):
        captured_ns = made.send(number)
        frame = made.camera.read(PATIENT)
        assert captured_ns - 1_000 <= frame.stamp_ns <= time.time_ns()


def test_the_drivers_own_host_time_is_taken(rig):
    made = rig(SoftwareCamera())
    captured_ms = time.time_ns() / 1e6 - 12.0
    made.plugged.send(1, captured_ms, domain=GLOBAL)
    assert made.camera.read(PATIENT).stamp_ns == pytest.approx(captured_ms * 1e6, abs=1000)
    assert made.camera.statistics.clock_domain is ClockDomain.GLOBAL


def test_depth_comes_with_colour(rig):
    made = rig(SoftwareCamera(), depth=True)
    raw = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    for number in range(1, 4):
        made.plugged.send(number, depth=raw)
    frame = made.camera.read(PATIENT)
    assert frame.depth_m.shape == frame.rgb.shape[:2]
    assert frame.depth_m.max() == pytest.approx(0.5)


def test_unplugged_and_back_with_a_clock_that_starts_anew(rig):
    made = rig(SoftwareCamera(), SoftwareCamera(), reconnect=IMPATIENT)
    made.send(100, domain=HARDWARE)
    before = made.camera.read(PATIENT)
    made.unplug()
    until(lambda: "lost and being looked for: no RealSense camera is connected" in made.refusal())
    made.plug_in()
    until(lambda: made.camera.statistics.reconnects > 0)
    captured_ns = made.send(0)
    after = made.camera.read(PATIENT)
    assert after.rgb[0, 0, 0] == 0
    assert before.stamp_ns < captured_ns - 1_000 <= after.stamp_ns <= time.time_ns()
    counts = made.camera.statistics
    assert (counts.received, counts.dropped) == (2, 0)


def test_a_program_that_forgets_to_close_ends_well():
    script = """
from glue_perception.cameras.live import LiveCamera
from glue_perception.cameras.reconnect import ReconnectConfig
from software_camera import SoftwareCamera
device = SoftwareCamera()
camera = LiveCamera(device.source, 30.0, ReconnectConfig(), "the camera")
device.send(1)
camera.read(20.0)
"""
    path = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": os.pathsep.join(path)}, timeout=120
    )
    assert done.returncode == 0


def test_closing_frees_the_device_for_the_next(rig):
    camera = SoftwareCamera()
    made = rig(camera)
    made.send(1)
    made.camera.read(PATIENT)
    made.camera.close()
    made.camera._thread.join(PATIENT)
    source = camera.source()
    camera.send(2)
    assert source.wait(PATIENT).number == 2
    source.close()
    assert made.camera.read(1.0) is None
