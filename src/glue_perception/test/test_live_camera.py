"""A live camera over its whole life: counts, stamps, bad frames, unplugging and return, and being closed any time."""

import itertools
import threading
import time
from collections import deque

import numpy as np
import pytest

from glue_perception.cameras.base import CountingCamera
from glue_perception.cameras.clock_mapping import StampGuard
from glue_perception.cameras.frame_source import DeviceClock, SourceFrame
from glue_perception.cameras.live import LiveCamera
from glue_perception.cameras.live_session import FrameCounter, LiveSession
from glue_perception.cameras.reconnect import ReconnectConfig
from glue_perception.cameras.statistics import CameraStatistics, ClockDomain
from glue_perception.errors import ConfigError, HardwareError, InvalidValueError

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
MS = 1_000_000
T0_NS = 1_700_000_000 * 1000 * MS
FAST = ReconnectConfig(first_frame_timeout_s=30.0, stall_timeout_s=20.0, first_wait_s=0.01, max_wait_s=0.02)
PATIENT = 20.0
"""Seconds that a test waits for what must come; it comes at once."""


def raw(number, clock=DeviceClock.HARDWARE, device_ms=None, arrival_ms=None, rgb=None, intrinsics=K):
    """Frame `number` of a 100 Hz camera that was started at T0, 5 ms under way."""
    level = np.full((4, 6, 3), number % 256, np.uint8)
    return SourceFrame(
        number=number,
        device_ns=round((number * 10 if device_ms is None else device_ms) * MS),
        clock=clock,
        arrival_ns=T0_NS + round((number * 10 + 5 if arrival_ms is None else arrival_ms) * MS),
        rgb=level if rgb is None else rgb,
        intrinsics=intrinsics,
    )


def session(rate_hz=100.0):
    counter = FrameCounter(rate_hz)
    return LiveSession(StampGuard(), counter, "camera"), counter


class TestStampsAndCounts:
    def test_a_sound_stream(self):
        live, counter = session()
        frames = [live.camera_frame(raw(number)) for number in range(100)]
        counts = counter.statistics
        assert counts == CameraStatistics(
            received=100,
            rate_hz=pytest.approx(100.0, rel=0.01),
            last_gap_s=pytest.approx(0.01, rel=0.01),
            clock_domain=ClockDomain.DEVICE,
        )
        assert frames[-1].stamp_ns == pytest.approx(T0_NS + 995 * MS, abs=MS)

    def test_drops_repeats_and_lateness(self):
        live, counter = session()
        numbers = [1, 2, 2, 5, 6, 6, 6, 10]
        frames = [live.camera_frame(raw(number)) for number in numbers]
        assert [frame is None for frame in frames] == [False, False, True, False, False, True, True, False]
        assert (counter.statistics.dropped, counter.statistics.repeated) == (2 + 3, 3)
        assert counter.statistics.late == 0, "what follows a gap is not late"
        live.camera_frame(raw(11, arrival_ms=137.0))
        assert counter.statistics.late == 1

    def test_a_camera_that_counts_anew_has_dropped_nothing(self):
        live, counter = session()
        for number, at in [(500, 0), (501, 10), (0, 20), (1, 30)]:
            live.camera_frame(raw(number, device_ms=at, arrival_ms=at + 5))
        assert counter.statistics.dropped == 0
        assert counter.statistics.received == 4

    def test_a_connection_starts_its_own_numbers(self):
        live, counter = session()
        live.camera_frame(raw(3))
        counter.connection_lost()
        assert live.camera_frame(raw(90)) is not None
        assert counter.statistics.dropped == 0

    def test_jitter_is_taken_out_of_the_stamps(self):
        live, _ = session()
        rng = np.random.default_rng(0)
        arrivals = np.arange(400) * 10 + 5 + rng.exponential(4.0, 400)
        frames = [
            live.camera_frame(raw(k, arrival_ms=a)) for k, a in enumerate(np.maximum.accumulate(arrivals))
        ]
        stamps_ms = np.array([frame.stamp_ns - T0_NS for frame in frames]) / MS
        assert np.diff(stamps_ms[100:]).std() < 0.2
        assert np.diff(arrivals[100:]).std() > 3.0

    @pytest.mark.parametrize(
        ("clock", "domain"),
        [(DeviceClock.HOST_SYNCED, ClockDomain.GLOBAL), (DeviceClock.HOST_ARRIVAL, ClockDomain.HOST)],
    )
    def test_host_times_of_the_driver_are_taken(self, clock, domain):
        live, counter = session()
        at = T0_NS / MS
        frame = live.camera_frame(raw(1, clock, device_ms=at + 8.0, arrival_ms=15.0))
        assert frame.stamp_ns == pytest.approx(T0_NS + 8 * MS, abs=1000)
        assert counter.statistics.clock_domain is domain
        ahead = live.camera_frame(raw(2, clock, device_ms=at + 900.0, arrival_ms=25.0))
        assert ahead.stamp_ns == T0_NS + 25 * MS, "never in the future"

    def test_an_implausible_host_time_is_mapped_instead(self):
        live, counter = session()
        hour_ms = 3_600_000
        at = T0_NS / MS + hour_ms
        stamps = [
            live.camera_frame(
                raw(k, DeviceClock.HOST_SYNCED, device_ms=at + 10 * k, arrival_ms=10 * k + 5)
            ).stamp_ns
            for k in range(1, 50)
        ]
        assert counter.statistics.clock_domain is ClockDomain.DEVICE
        assert stamps[-1] == pytest.approx(T0_NS + 495 * MS, abs=MS)

    def test_stamps_increase_over_connections(self):
        """The second connection's driver places its first frames before the last frame of the first."""
        guard, counter = StampGuard(), FrameCounter(100.0)
        first, second = (LiveSession(guard, counter, "camera") for _ in range(2))
        stamps = [first.camera_frame(raw(number)).stamp_ns for number in range(100)]
        for k in range(20):
            driver_ms = T0_NS / MS + 900 + 10 * k
            frame = raw(k, DeviceClock.HOST_SYNCED, device_ms=driver_ms, arrival_ms=1000 + 10 * k)
            stamps.append(second.camera_frame(frame).stamp_ns)
        assert np.all(np.diff(stamps) > 0)
        assert stamps[-1] == pytest.approx(T0_NS + 1090 * MS, abs=1000)

    def test_warm_up_frames_teach_the_clock_only(self):
        """The first frame was held up for 150 ms; without a warm-up, stamps would stand still behind it."""
        counter = FrameCounter(100.0)
        live = LiveSession(StampGuard(), counter, "camera", warm_up_frames=16)
        held = [raw(k, arrival_ms=160 + 0.01 * k) for k in range(16)]
        assert [live.camera_frame(frame) for frame in held] == [None] * 16
        assert counter.statistics == CameraStatistics()
        frames = [live.camera_frame(raw(number)) for number in range(16, 60)]
        late_ms = [(frame.stamp_ns - T0_NS) / MS - 10 * k for k, frame in enumerate(frames, 16)]
        assert late_ms == pytest.approx([5.0] * 44, abs=0.1)

    def test_a_host_clock_set_back(self):
        live, counter = session()
        live.camera_frame(raw(1, arrival_ms=500.0))
        with pytest.raises(InvalidValueError, match="host's clock was set back"):
            live.camera_frame(raw(2, arrival_ms=400.0))
        assert live.camera_frame(raw(3, arrival_ms=501.0)).stamp_ns <= T0_NS + 501 * MS
        assert counter.statistics.received == 2


class Plug:
    """Makes sources that play lists of raw frames; an exception in a list is raised, at its end comes silence."""

    def __init__(self, *sessions):
        self.sessions = deque(sessions)
        self.asked = self.opened = self.closed = 0
        self.gone = threading.Event()

    def __call__(self):
        self.asked += 1
        if not self.sessions:
            self.gone.set()
            raise HardwareError("no camera is connected; check its cable")
        self.opened += 1
        plan = self.sessions.popleft()
        if isinstance(plan, Exception):
            raise plan
        return Source(self, plan)


class Source:
    def __init__(self, plug, plan):
        self.plug, self.plan = plug, iter(plan)

    def wait(self, timeout_s):
        item = next(self.plan, None)
        if item is None:
            time.sleep(min(timeout_s, 0.01))
        elif isinstance(item, Exception):
            raise item
        elif callable(item):
            return item()
        return item

    def close(self):
        self.plug.closed += 1


@pytest.fixture
def live():
    cameras = []

    def open_live(*sessions, reconnect=FAST, plug=None):
        plug = plug or Plug(*sessions)
        cameras.append(LiveCamera(plug, 100.0, reconnect, "the camera"))
        return cameras[-1], plug

    yield open_live
    for camera in cameras:
        camera.close()


def until(condition):
    deadline = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def slow(number, event):
    """A frame that comes when `event` is set."""

    def give():
        assert event.wait(PATIENT)
        return raw(number)

    return give


class TestReading:
    def test_the_newest_frame_is_given_once(self, live):
        camera, _ = live([raw(number) for number in range(1, 9)])
        until(lambda: camera.statistics.received == 8)
        assert camera.read(PATIENT).rgb[0, 0, 0] == 8
        with pytest.raises(HardwareError, match=r"no frame from the camera within 0\.01 s; it is connected"):
            camera.read(0.01)
        counts = camera.statistics
        assert (counts.received, counts.delivered, counts.skipped) == (8, 1, 7)
        assert isinstance(camera, CountingCamera)

    def test_reading_waits_for_a_frame(self, live):
        event = threading.Event()
        camera, _ = live([slow(1, event)])
        timer = threading.Timer(0.05, event.set)
        timer.start()
        assert camera.read(PATIENT).rgb[0, 0, 0] == 1
        timer.join()

    def test_one_bad_frame_does_not_end_the_stream(self, live):
        bad_size = raw(2, rgb=np.zeros((0, 6, 3), np.uint8))
        no_focus = raw(3, intrinsics=K * np.nan)
        camera, _ = live([raw(1), bad_size, no_focus, raw(4)])
        until(lambda: camera.statistics.received == 2)
        assert camera.read(PATIENT).rgb[0, 0, 0] == 4
        assert camera.statistics.bad == 2
        assert camera.statistics.reconnects == 0

    def test_nothing_but_bad_frames_is_said(self, live):
        camera, _ = live([raw(number, intrinsics=K * np.nan) for number in range(5)])
        until(lambda: camera.statistics.bad == 5)
        with pytest.raises(HardwareError, match=r"unusable frames: CameraFrame.intrinsics holds NaN"):
            camera.read(0.01)

    def test_what_fails_at_first_is_raised(self, live):
        with pytest.raises(ConfigError, match="no such size"):
            live(ConfigError("no such size"))
        with pytest.raises(HardwareError, match="no camera is connected"):
            live()


class TestUnplugging:
    def test_the_reason_is_said_and_the_camera_comes_back_by_itself(self, live):
        plug = Plug([raw(1), HardwareError("it was unplugged")])
        camera, _ = live(plug=plug)
        assert plug.gone.wait(PATIENT)
        camera.read(PATIENT)
        with pytest.raises(HardwareError, match="lost and being looked for: no camera is connected; check"):
            camera.read(0.01)
        # The new session's clock and numbers begin anew.
        plug.sessions.append([raw(0, device_ms=0.0, arrival_ms=60_000.0)])
        frame = camera.read(PATIENT)
        assert frame.stamp_ns == T0_NS + 60_000 * MS
        counts = camera.statistics
        assert (counts.reconnects, counts.received, counts.dropped) == (1, 2, 0)
        assert counts.last_gap_s > 59.0
        assert plug.closed == 1

    def test_a_silent_stream_is_opened_anew(self, live):
        stalls = ReconnectConfig(
            first_frame_timeout_s=30.0, stall_timeout_s=0.1, first_wait_s=0.01, max_wait_s=0.01
        )
        camera, plug = live([raw(1)], [raw(2)], reconnect=stalls)
        until(lambda: camera.statistics.received == 2)
        assert camera.statistics.reconnects == 1
        assert plug.closed >= 1

    def test_a_camera_that_repeats_one_frame_is_opened_anew(self, live):
        stalls = ReconnectConfig(
            first_frame_timeout_s=30.0, stall_timeout_s=0.1, first_wait_s=0.01, max_wait_s=0.01
        )

        def stuck():
            while True:
                time.sleep(0.005)
                yield raw(7)

        camera, _ = live(stuck(), [raw(8)], reconnect=stalls)
        until(lambda: camera.statistics.received == 2)
        assert camera.statistics.repeated > 1
        assert camera.statistics.reconnects == 1

    def test_a_connection_that_never_gives_a_frame_is_not_hammered(self, live):
        """Sources that open and fail at once are waited for like those that do not open."""
        waits = ReconnectConfig(first_wait_s=30.0, max_wait_s=60.0)
        camera, plug = live([raw(1), HardwareError("gone")], [HardwareError("gone again")], reconnect=waits)
        until(lambda: plug.closed == 2)
        time.sleep(0.05)
        assert plug.asked == 2
        camera.close()

    def test_an_unknown_fault_of_the_sdk_is_survived(self, live):
        camera, _ = live([raw(1), ValueError("what the SDK throws")], TypeError("more of it"), [raw(2)])
        until(lambda: camera.statistics.received == 2)
        assert camera.read(PATIENT).rgb[0, 0, 0] == 2


class TestClosing:
    def test_while_reading(self, live):
        camera, plug = live([])
        timer = threading.Timer(0.05, camera.close)
        timer.start()
        assert camera.read(PATIENT) is None
        timer.join()
        assert camera.read(PATIENT) is None
        camera.close()
        until(lambda: plug.closed == 1)

    def test_while_waiting_to_reconnect(self, live):
        waits = ReconnectConfig(first_wait_s=60.0, max_wait_s=600.0)
        plug = Plug([raw(1), HardwareError("unplugged")])
        camera, _ = live(plug=plug, reconnect=waits)
        assert plug.gone.wait(PATIENT)
        camera.close()
        camera._thread.join(PATIENT)  # far less than the wait
        assert not camera._thread.is_alive()
        assert camera.read(PATIENT) is None

    def test_while_the_sdk_hangs(self, live):
        """An SDK call that does not return keeps its thread, not the caller; what it opened late is closed."""
        hang, late = threading.Event(), threading.Event()
        opened = itertools.count()

        class Hanging(Plug):
            def __call__(self):
                if next(opened) == 0:
                    return Source(self, [HardwareError("unplugged")])
                late.set()
                assert hang.wait(PATIENT)
                return Source(self, [])

        plug = Hanging()
        camera, _ = live(plug=plug)
        assert late.wait(PATIENT)
        camera.close()
        assert camera._thread.is_alive()
        assert camera.read(PATIENT) is None
        hang.set()
        camera._thread.join(PATIENT)
        assert plug.closed == 2


def test_waits_grow_to_a_limit():
    config = ReconnectConfig(first_wait_s=0.5, max_wait_s=5.0)
    assert [config.wait_s(n) for n in range(7)] == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert config.wait_s(10**6) == 5.0
    with pytest.raises(ConfigError, match=r"stall_timeout_s must lie in 0\.1\.\.60 s, not 0"):
        ReconnectConfig(stall_timeout_s=0.0)
    with pytest.raises(ConfigError, match=r"max_wait_s must be at least first_wait_s \(2 s\), not 1"):
        ReconnectConfig(first_wait_s=2.0, max_wait_s=1.0)
