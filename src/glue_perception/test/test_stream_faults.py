"""The faults that other tests inject are the faults they are said to be."""

import numpy as np
import pytest
from stream_faults import (
    STALL_NS,
    StreamCamera,
    black,
    dropped,
    frozen,
    outage,
    repeated,
    resized,
    stalled,
    vanishes,
)

from glue_perception.errors import HardwareError
from glue_perception.types import CameraFrame

K = np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
FRAME_NS = 33_333_333


def stream(count=100):
    for k in range(count):
        rgb = np.full((48, 64, 3), (k + 1) % 256, np.uint8)
        yield CameraFrame(k * FRAME_NS, "camera_color_optical_frame", rgb, K)


def indices(frames):
    return [frame.stamp_ns // FRAME_NS for frame in frames]


def levels(frames):
    return [int(frame.rgb[0, 0, 0]) for frame in frames]


def test_black_and_frozen_images_keep_their_stamps():
    frames = list(black(stream(8), 2, 3))
    assert levels(frames) == [1, 2, 0, 0, 0, 6, 7, 8]
    assert indices(frames) == list(range(8))
    frames = list(frozen(stream(8), 2, 3))
    assert levels(frames) == [1, 2, 2, 2, 2, 6, 7, 8]
    assert indices(frames) == list(range(8))


def test_another_resolution_brings_its_intrinsics():
    frames = list(resized(stream(6), 2, 32, 24, count=2))
    assert [frame.width_px for frame in frames] == [64, 64, 32, 32, 64, 64]
    assert frames[2].intrinsics[0, 0] == 30.0
    assert frames[2].intrinsics[2, 2] == 1.0
    assert [frame.width_px for frame in resized(stream(4), 2, 32, 24)] == [64, 64, 32, 32]


def test_stalls_leave_gaps():
    stamps = [frame.stamp_ns for frame in stalled(stream(40), 10)]
    gaps = np.diff(stamps)
    assert len(gaps[gaps > FRAME_NS]) == 2
    assert min(gaps[gaps > FRAME_NS]) >= STALL_NS


def test_drops_are_seeded():
    kept = indices(dropped(stream(1000), seed=3))
    assert kept == indices(dropped(stream(1000), seed=3))
    assert kept != indices(dropped(stream(1000), seed=4))
    assert kept[0] == 0
    assert 860 <= len(kept) <= 940


def test_repeats_come_twice():
    assert indices(repeated(stream(5), 2)) == [0, 1, 1, 2, 3, 3, 4]


def test_a_camera_that_vanishes_and_returns():
    camera = StreamCamera(vanishes(stream(6), 2, 2))
    assert camera.read(1.0).stamp_ns == 0
    camera.read(1.0)
    for _ in range(2):
        with pytest.raises(HardwareError, match="unplugged"):
            camera.read(1.0)
    assert camera.read(1.0).stamp_ns == 4 * FRAME_NS
    assert camera.statistics.delivered == 3
    camera.close()
    assert camera.read(1.0) is None


def test_an_outage():
    assert indices(outage(stream(100), 5, 1.0)) == [*range(5), *range(36, 100)]
