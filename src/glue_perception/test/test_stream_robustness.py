"""Whatever a camera's stream does: nothing raises, and what is called tracked is where it is said to be."""

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
import pytest
import stream_faults
from moving_objects import FRAME_NS, HEIGHT, HOME, QUERY, WIDTH, Scene, error_px, moving, pipeline_for

from glue_perception.back_ends import build_extractor
from glue_perception.perception_config import PerceptionConfig
from glue_perception.pipeline import PerceptionPipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.stream_monitor import FrameVerdict, StreamConfig, blank_kind
from glue_perception.track_health import TrackHealthConfig
from glue_perception.trackers.lucas_kanade import LucasKanadeTracker
from glue_perception.types import CameraFrame, KeyPatches, Keypoints, PointTracks, TrackHealth

SCENE = Scene(moving)
FRAMES = [SCENE.frame(k) for k in range(75)]
MAX_ERROR_PX = 2.0


class Run:
    """A pipeline through a stream; the first frame starts it."""

    def __init__(self, stream: Iterable[CameraFrame], scene: Scene = SCENE) -> None:
        self.answers: list[KeyPatches] = []
        self.scene = scene
        with pipeline_for() as pipeline:
            for frame in stream:
                if self.answers:
                    self.answers.append(pipeline.update(frame))
                else:
                    pipeline.start(frame)
                    self.answers.append(pipeline.key_patches)
                assert self.answers[-1].stamp_ns == frame.stamp_ns
            self.counts = pipeline.stream_counts
            self.redetections = pipeline.redetection_counts

    def at(self, index: int) -> KeyPatches:
        return next(a for a in self.answers if a.stamp_ns == index * FRAME_NS)

    def seen(self, index: int) -> int:
        return int(self.at(index).visible.sum())

    def check_truth(self) -> None:
        """Every visible point of every answer is on its place on the block."""
        home = self.scene.path(0)
        for answer in self.answers:
            center = self.scene.path(round(answer.stamp_ns / FRAME_NS))
            if center is None:
                assert not answer.visible.any()
            else:
                assert error_px(answer, self.answers[0], center, home) < MAX_ERROR_PX


def test_a_sound_stream_is_tracked_all_along() -> None:
    run = Run(FRAMES)
    run.check_truth()
    assert min(run.seen(k) for k in range(75)) >= 7
    assert run.redetections.begun == 0
    assert run.counts.as_mapping() == {**dict.fromkeys(run.counts.as_mapping(), 0), "frames": 75}


@pytest.mark.parametrize("shade", [0, 255])
def test_blank_frames_hide_everything_and_do_no_harm(shade) -> None:
    stream = list(stream_faults.black(FRAMES[:60], 20, 15))
    stream[20:35] = [dataclasses.replace(f, rgb=np.full_like(f.rgb, shade)) for f in stream[20:35]]
    run = Run(stream)
    run.check_truth()
    for k in range(20, 35):
        assert run.seen(k) == 0
        assert (run.at(k).health == TrackHealth.OCCLUDED).all()
    assert run.seen(36) >= 7, "half a second later the points are tracked again at the second frame"
    assert (run.counts.black, run.counts.overexposed) == ((15, 0) if shade == 0 else (0, 15))
    assert run.redetections.begun == 0


def test_a_dark_noisy_sensor_is_black_and_a_dim_scene_is_not() -> None:
    rng = np.random.default_rng(0)
    dark = np.clip(rng.normal(4, 4, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    assert blank_kind(dark, StreamConfig().min_contrast) is FrameVerdict.BLACK
    assert blank_kind((FRAMES[0].rgb * 0.15).astype(np.uint8), StreamConfig().min_contrast) is None


def test_ten_seconds_of_darkness_lose_nothing() -> None:
    dark = [dataclasses.replace(f, rgb=np.zeros_like(f.rgb)) for f in Scene().frames(10, 11)] * 300
    dark = [dataclasses.replace(f, stamp_ns=(10 + k) * FRAME_NS) for k, f in enumerate(dark)]
    still = Scene()
    run = Run(itertools.chain(still.frames(0, 10), dark, still.frames(310, 315)), still)
    run.check_truth()
    assert run.seen(309) == 0
    assert run.seen(311) >= 7
    assert run.redetections.begun == 0


def test_a_frozen_picture_is_not_the_scene() -> None:
    run = Run(stream_faults.frozen(FRAMES, 10, 30))
    for k in range(26, 40):
        assert run.seen(k) == 0, "from half a second on"
    assert run.seen(20) >= 7, "a repeat or two is what a slow camera gives"
    assert run.counts.frozen == 30 - 15
    late = [k for k in range(41, 75) if run.seen(k) >= 6]
    assert late
    assert late[0] <= 55
    for k in range(41, 75):
        assert error_px(run.at(k), run.answers[0], moving(k), HOME) < MAX_ERROR_PX


def test_a_simulated_camera_may_repeat_itself() -> None:
    still = [dataclasses.replace(FRAMES[0], stamp_ns=k * FRAME_NS) for k in range(40)]
    with pipeline_for(stream=StreamConfig(max_frozen_s=None)) as pipeline:
        pipeline.start(still[0])
        assert all(pipeline.update(frame).visible.all() for frame in still[1:])


def test_older_frames_are_answered_and_change_nothing() -> None:
    with pipeline_for() as pipeline, pipeline_for() as other:
        for each in (pipeline, other):
            each.start(FRAMES[0])
            for frame in FRAMES[1:10]:
                newest = each.update(frame)
        for old in (4, 0, 8):
            answer = pipeline.update(FRAMES[old])
            assert answer.stamp_ns == FRAMES[old].stamp_ns
            assert not answer.visible.any()
            assert not (answer.health == TrackHealth.TRACKED).any()
        assert pipeline.update(FRAMES[9]) is pipeline.key_patches
        assert np.array_equal(pipeline.key_patches.xy_px, newest.xy_px)
        for frame in FRAMES[10:20]:
            a, b = pipeline.update(frame), other.update(frame)
            assert np.array_equal(a.xy_px, b.xy_px)
            assert np.array_equal(a.health, b.health)
        assert (pipeline.stream_counts.out_of_order, pipeline.stream_counts.repeated) == (3, 1)


@pytest.mark.parametrize("size", [(640, 480), (160, 120)])
def test_another_resolution_of_the_same_aspect_goes_on(size) -> None:
    run = Run(stream_faults.resized(FRAMES[:40], 15, *size, count=15))
    factor = size[0] / WIDTH
    for k in range(16, 30):
        answer = run.at(k)
        assert answer.visible.sum() >= 6
        truth = (run.answers[0].xy_px + np.subtract(moving(k), HOME) + 0.5) * factor - 0.5
        error = np.linalg.norm(answer.xy_px - truth, axis=1)[answer.visible]
        assert error.max() < MAX_ERROR_PX * max(1.0, factor)
        cells = np.floor((answer.xy_px + 0.5) * 28 / np.array(size)).astype(int)
        assert np.array_equal(answer.row_col, cells[:, ::-1])
    assert run.seen(35) >= 6
    assert run.counts.resolution_changes == 2
    assert run.redetections.begun == 0


def test_another_aspect_loses_everything_and_finds_it_again() -> None:
    run = Run(stream_faults.resized(FRAMES, 10, 320, 180))
    scale = np.array([1.0, 180 / HEIGHT])
    assert (run.at(10).health == TrackHealth.LOST).all()
    assert not run.at(10).visible.any()
    assert run.redetections.merged == 1
    assert run.seen(35) >= 6, "tracked again within 0.8 s"
    for k in range(11, 75):
        answer = run.at(k)
        on_block = np.abs((answer.xy_px + 0.5) / scale - 0.5 - moving(k)).max(axis=1) < 24
        assert on_block[answer.visible].all()


def test_stalls_of_200_ms() -> None:
    run = Run(stream_faults.stalled(FRAMES, every=10))
    run.check_truth()
    assert run.counts.gaps >= 4
    assert np.mean([a.visible.mean() for a in run.answers]) > 0.85


@pytest.mark.parametrize("seed", range(2))
def test_every_tenth_frame_dropped(seed) -> None:
    run = Run(stream_faults.dropped(FRAMES, seed))
    run.check_truth()
    assert len(run.answers) < 72
    assert np.mean([a.visible.mean() for a in run.answers]) > 0.95


def test_repeated_frames_give_one_answer() -> None:
    run = Run(stream_faults.repeated(FRAMES[:30], every=3))
    run.check_truth()
    assert run.counts.repeated == 10


def test_the_camera_is_away_for_three_seconds_and_nothing_moved() -> None:
    still = Scene()
    run = Run(itertools.chain(still.frames(0, 10), still.frames(100, 105)), still)
    run.check_truth()
    assert run.seen(102) >= 7


def test_the_camera_is_away_for_three_seconds_and_the_block_was_moved() -> None:
    """What is not where it was is looked for and, after it counts as lost, found."""

    def path(k: int) -> tuple[float, float]:
        return HOME if k < 100 else (230.0, 160.0)

    scene = Scene(path)
    run = Run(itertools.chain(scene.frames(0, 10), scene.frames(100, 195)), scene)
    assert run.redetections.merged == 1
    assert run.seen(100) == 0
    assert run.seen(100 + 90) >= 6, "lost after 2 s, found and tracked within another second"
    for answer in run.answers[10:]:
        on_block = np.abs(answer.xy_px - path(200)).max(axis=1) < 24
        assert on_block[answer.visible].all()


def test_the_block_leaves_the_image_and_comes_back() -> None:
    def path(k: int) -> tuple[float, float] | None:
        return (
            (HOME[0] - 6.0 * k, HOME[1])
            if k < 40
            else None
            if k < 60
            else (HOME[0] - 6.0 * (100 - k), HOME[1])
        )

    scene = Scene(lambda k: path(min(k, 100)))
    run = Run(scene.frames(0, 200), scene)
    for k in range(32, 66):
        assert run.seen(k) == 0, f"frame {k}: it is outside, or half of it"
    assert run.seen(199) >= 6
    for answer in run.answers:
        center = scene.path(round(answer.stamp_ns / FRAME_NS))
        if answer.visible.any():
            assert (np.abs(answer.xy_px - center).max(axis=1) < 24)[answer.visible].all()


class FailingTracker(LucasKanadeTracker):
    """Raises at some of its updates, as a network that runs out of memory does."""

    def __init__(self, fails: range) -> None:
        super().__init__()
        self._fails, self._count = fails, 0

    def update(self, frame: CameraFrame) -> PointTracks:
        self._count += 1
        if self._count in self._fails:
            raise RuntimeError("out of memory")
        return super().update(frame)


@pytest.mark.parametrize("fails", [range(10, 11), range(10, 13)])
def test_a_tracker_that_raises_is_started_again(fails, caplog) -> None:
    config = PerceptionConfig(num_keypoints=8)
    pipeline = PerceptionPipeline(
        build_extractor(config),
        FailingTracker(fails),
        TrackHealthConfig(),
        [QUERY],
        mode=RedetectionMode.WAIT,
    )
    with pipeline:
        pipeline.start(FRAMES[0])
        answers = [pipeline.update(frame) for frame in FRAMES[1:]]
        assert "out of memory" in pipeline.last_error
        assert pipeline.stream_counts.tracker_errors == len(fails)
    assert len(caplog.records) == 1
    down = answers[9]
    assert not down.visible.any()
    assert (down.health == TrackHealth.LOST).all()
    assert answers[9 + 20 * len(fails)].visible.sum() >= 6, "found again within 0.7 s"
    for k, answer in enumerate(answers, 1):
        assert (np.abs(answer.xy_px - moving(k)).max(axis=1) < 24)[answer.visible].all()


class StrayTracker(LucasKanadeTracker):
    """Follows the block, but puts two points on a patch of bare table, is sure of it and compares nothing."""

    def update(self, frame: CameraFrame) -> PointTracks:
        tracks = super().update(frame)
        xy, visible, sure = tracks.xy_px.copy(), tracks.visible.copy(), tracks.confidence.copy()
        xy[:2], visible[:2], sure[:2] = (40.0, 200.0), True, 1.0
        return PointTracks(tracks.stamp_ns, xy, visible, sure)


def test_points_that_a_tracker_puts_on_the_wrong_thing_are_not_visible() -> None:
    config = PerceptionConfig(num_keypoints=8)
    pipeline = PerceptionPipeline(build_extractor(config), StrayTracker(), TrackHealthConfig(), [QUERY])
    with pipeline:
        pipeline.start(FRAMES[0])
        answers = [pipeline.update(frame) for frame in FRAMES[1:30]]
    assert not any(answer.visible[:2].any() for answer in answers)
    assert answers[-1].visible[2:].all()


def test_a_tracker_that_answers_another_number_of_points_has_failed() -> None:
    class Short(LucasKanadeTracker):
        def update(self, frame: CameraFrame) -> PointTracks:
            return PointTracks(frame.stamp_ns, np.zeros((1, 2)), np.ones(1, bool), np.ones(1))

        def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
            return super().start(frame, keypoints)

    config = PerceptionConfig(num_keypoints=8)
    with PerceptionPipeline(build_extractor(config), Short(), TrackHealthConfig(), [QUERY]) as pipeline:
        pipeline.start(FRAMES[0])
        assert not pipeline.update(FRAMES[1]).visible.any()
        assert "1 points of 8" in pipeline.last_error


def spoilt(frame: CameraFrame, rng: np.random.Generator) -> CameraFrame:
    """One of many things that a broken camera or driver hands over."""
    rgb, stamp_ns = frame.rgb, frame.stamp_ns
    match int(rng.integers(0, 12)):
        case 0:
            rgb = np.zeros_like(rgb)
        case 1:
            rgb = rng.integers(0, 256, rgb.shape, dtype=np.uint8)
        case 2:
            stamp_ns = max(0, stamp_ns - int(rng.integers(0, 10**9)))
        case 3:
            stamp_ns += int(rng.integers(0, 10**10))
        case 4:
            height, width = rng.integers(1, 40, 2)
            rgb = np.ascontiguousarray(rgb[:height, :width])
        case 5:
            rgb = np.ascontiguousarray(rgb[::2, ::2])
        case 6:
            rgb = np.ascontiguousarray(rgb[:, ::-1])
    return dataclasses.replace(frame, rgb=rgb, stamp_ns=stamp_ns)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_whatever_raises(seed) -> None:
    rng = np.random.default_rng(seed)
    with pipeline_for(mode=RedetectionMode.BACKGROUND) as pipeline:
        pipeline.start(FRAMES[0])
        for frame in FRAMES[1:]:
            given = spoilt(frame, rng)
            answer = pipeline.update(given)
            assert len(answer) == 8
            assert answer.stamp_ns == given.stamp_ns
            inside = np.all(
                (answer.xy_px > -0.5) & (answer.xy_px < [given.width_px, given.height_px]), axis=1
            )
            assert inside[answer.visible].all()
        assert sum(pipeline.stream_counts.as_mapping().values()) > len(FRAMES)
