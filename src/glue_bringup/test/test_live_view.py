"""What a person watches: the newest frame that has key-patches, and honestly none where there are none."""

import threading

import numpy as np
import pytest

from glue_bringup.loop.live_view import NO_KEY_PATCHES_NS, LiveView, ViewWorker
from glue_bringup.recording.episode_picture import EpisodePicture
from glue_bringup.sim.camera_config import CameraConfig
from glue_perception.key_patches import key_patches_of_keypoints
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, Keypoints

CAMERA = CameraConfig()
PERIOD_NS = 33_000_000


def frame(number: int) -> CameraFrame:
    pixels = np.full((CAMERA.height_px, CAMERA.width_px, 3), 90, np.uint8)
    return CameraFrame(1 + number * PERIOD_NS, "camera", pixels, intrinsics=CAMERA.intrinsics)


def patches(of: CameraFrame) -> KeyPatches:
    xy = np.array([[300.0, 200.0], [320.0, 210.0]])
    keypoints = Keypoints(xy, query_index=np.zeros(2, int), cluster_index=np.arange(2))
    return key_patches_of_keypoints(keypoints, of.stamp_ns, of.width_px, of.height_px)


def chunk(stamp_ns: int) -> ActionChunk:
    along = np.linspace(0.3, 0.5, 16)
    position = np.stack([along, np.zeros(16), np.full(16, 0.3)], axis=1)
    return ActionChunk(stamp_ns, 0.1, position, np.tile([1.0, 0, 0, 0, 1.0, 0], (16, 1)), np.zeros(16))


@pytest.fixture
def view() -> LiveView:
    return LiveView(EpisodePicture(["red button"], CAMERA.T_base_camera))


def test_nothing_before_the_first_frame(view: LiveView) -> None:
    assert view.picture() is None


def test_a_frame_without_key_patches_says_so(view: LiveView) -> None:
    view.frame(frame(0))
    picture = view.picture()
    assert picture is not None
    assert picture.stamp_ns == frame(0).stamp_ns
    assert not np.array_equal(picture.rgb, frame(0).rgb)


def test_the_newest_frame_with_key_patches_is_shown_with_its_own_stamp(view: LiveView) -> None:
    for k in range(4):
        view.frame(frame(k))
    view.key_patches(patches(frame(1)))
    view.key_patches(patches(frame(9)))  # of a frame that never came
    picture = view.picture()
    assert picture is not None
    assert picture.stamp_ns == frame(1).stamp_ns
    assert np.any(picture.rgb[195:215, 295:325] != 90)


def test_old_key_patches_give_way_to_the_plain_frame(view: LiveView) -> None:
    view.frame(frame(0))
    view.key_patches(patches(frame(0)))
    late = 2 + NO_KEY_PATCHES_NS // PERIOD_NS
    view.frame(frame(late))
    picture = view.picture()
    assert picture is not None
    assert picture.stamp_ns == frame(late).stamp_ns


def test_a_chunk_is_drawn_until_its_last_target_has_passed(view: LiveView) -> None:
    view.frame(frame(60))
    view.key_patches(patches(frame(60)))
    without = view.picture()
    view.chunk(chunk(frame(60).stamp_ns))
    drawn = view.picture()
    view.chunk(chunk(frame(0).stamp_ns))  # 16 targets: 1.6 s; frame 60 is 2 s later
    passed = view.picture()
    assert without is not None
    assert drawn is not None
    assert passed is not None
    assert not np.array_equal(drawn.rgb, without.rgb)
    assert np.array_equal(passed.rgb, without.rgb)


def test_without_the_cameras_place_no_path_is_invented() -> None:
    view = LiveView(EpisodePicture(["red button"], None))
    view.frame(frame(0))
    view.key_patches(patches(frame(0)))
    without = view.picture()
    view.chunk(chunk(frame(0).stamp_ns))
    drawn = view.picture()
    assert without is not None
    assert drawn is not None
    assert np.array_equal(drawn.rgb, without.rgb)


def test_what_safety_says_stands_in_the_picture(view: LiveView) -> None:
    view.frame(frame(0))
    view.key_patches(patches(frame(0)))
    quiet = view.picture()
    view.status("hold: operator")
    said = view.picture()
    assert quiet is not None
    assert said is not None
    assert not np.array_equal(said.rgb, quiet.rgb)


def test_the_worker_sends_each_frame_once(view: LiveView) -> None:
    sent: list[int] = []
    came = threading.Condition()

    def take(picture: CameraFrame) -> None:
        with came:
            sent.append(picture.stamp_ns)
            came.notify_all()

    errors: list[BaseException] = []
    worker = ViewWorker(view, 200.0, take, errors.append)
    worker.start()
    for k in range(3):
        view.frame(frame(k))
        with came:
            assert came.wait_for(lambda k=k: frame(k).stamp_ns in sent, timeout=20.0)
    worker.stop()
    assert errors == []
    assert sent == sorted(set(sent))
