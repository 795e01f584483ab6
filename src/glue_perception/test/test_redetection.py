"""Lost objects are found again: in the background, when a replay can repeat it, and only if they are the same."""

import dataclasses
import itertools
import threading

import numpy as np
import pytest
from moving_objects import (
    FRAME_NS,
    HEIGHT,
    HOME,
    QUERY,
    SIZE,
    TABLE,
    WIDTH,
    Scene,
    block,
    moving,
    noisy,
    pipeline_for,
)
from scenes import BLUE, RED, camera_frame

from glue_perception.back_ends import build_extractor
from glue_perception.errors import QueryError
from glue_perception.keypoint_extractor import KeypointExtractor, ObjectPoints
from glue_perception.perception_config import PerceptionConfig
from glue_perception.pipeline import PerceptionPipeline
from glue_perception.redetection.carrier import PointCarrier, gray_of
from glue_perception.redetection.config import RedetectionConfig, RedetectionMode
from glue_perception.redetection.identity import look_of, match, refusal
from glue_perception.track_health import TrackHealthConfig
from glue_perception.trackers.lucas_kanade import LucasKanadeTracker
from glue_perception.types import CameraFrame, KeyPatches, Keypoints, PointTracks, TrackHealth

AWAY = (235.0, 165.0)
HEALTH = TrackHealthConfig(lose_after_s=0.5)
JUMP = 20
"""At this frame the block is suddenly elsewhere; half a second later its points count as lost."""

SCENE = Scene(lambda k: HOME if k < JUMP else (AWAY[0] + 20.0 * np.sin((k - JUMP) / 20.0), AWAY[1]))
FRAMES = list(SCENE.frames(0, 90))


def on_block(patches: KeyPatches, center=None) -> bool:
    """Whether all that is visible lies on the block."""
    center = SCENE.path(round(patches.stamp_ns / FRAME_NS)) if center is None else center
    return bool((np.abs(patches.xy_px - center).max(axis=1) < SIZE / 2 + 2)[patches.visible].all())


def follow(pipeline: PerceptionPipeline, frames, after_each=lambda: None, taken_in=None) -> list[KeyPatches]:
    frames = iter(frames)
    pipeline.start(next(frames), taken_in)
    answers = [pipeline.key_patches]
    for frame in frames:
        answers.append(pipeline.update(frame))
        after_each()
    return answers


def same(a: list[KeyPatches], b: list[KeyPatches]) -> bool:
    names = ("row_col", "xy_px", "visible", "health")
    return len(a) == len(b) and all(
        x.redetected_from_ns == y.redetected_from_ns
        and all(np.array_equal(getattr(x, n), getattr(y, n)) for n in names)
        for x, y in zip(a, b, strict=True)
    )


def search_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "redetection"]


def join_searches() -> None:
    for thread in search_threads():
        thread.join()


class GatedExtractor(KeypointExtractor):
    """The embedded extractor, whose searches wait for a gate and may fail."""

    def __init__(self) -> None:
        config = PerceptionConfig(num_keypoints=8)
        parts = build_extractor(config)
        super().__init__(parts._detector, parts._segmenter, parts._features, 8)
        self.gate, self.error, self.searches = threading.Event(), None, 0

    def extract_object(self, frame: CameraFrame, query: str, count: int) -> ObjectPoints:
        self.searches += 1
        assert self.gate.wait(20.0)
        if self.error is not None:
            raise self.error
        return super().extract_object(frame, query, count)


def gated(mode=RedetectionMode.BACKGROUND, **limits) -> tuple[PerceptionPipeline, GatedExtractor]:
    extractor = GatedExtractor()
    config = RedetectionConfig(**limits)
    pipeline = PerceptionPipeline(extractor, LucasKanadeTracker(), HEALTH, [QUERY], None, config, mode)
    return pipeline, extractor


def test_a_lost_block_is_found_where_it_is() -> None:
    with pipeline_for(health=HEALTH) as pipeline:
        answers = follow(pipeline, FRAMES)
        counts = pipeline.redetection_counts
    merge = next(k for k, a in enumerate(answers) if a.redetected_from_ns)
    assert (counts.begun, counts.merged, counts.refused, counts.late) == (1, 1, 0, 0)
    assert answers[merge].stamp_ns - answers[merge].redetected_from_ns >= 0.5e9
    for answer in answers[JUMP : merge + 1]:
        assert not answer.visible.any()
    assert answers[merge + 2].visible.sum() >= 6, "two frames after they were put there"
    assert answers[-1].visible.sum() >= 6
    assert all(on_block(answer) for answer in answers)


def test_a_point_keeps_its_part_of_the_block() -> None:
    with pipeline_for(health=HEALTH) as pipeline:
        answers = follow(pipeline, FRAMES)
    before = answers[0].xy_px - HOME
    after = answers[-1].xy_px - SCENE.path(len(FRAMES) - 1)
    distance = np.linalg.norm(before[:, None] - after[None], axis=2)
    assert (np.diag(distance) < SIZE / 2).mean() >= 0.75
    assert np.diag(distance).mean() < distance.mean() / 2


def test_without_it_the_block_stays_lost() -> None:
    with pipeline_for(health=HEALTH, redetection=RedetectionConfig(enabled=False)) as pipeline:
        answers = follow(pipeline, FRAMES)
    assert (answers[-1].health == TrackHealth.LOST).all()
    assert not search_threads()


def test_live_in_time_equals_waiting() -> None:
    with pipeline_for(health=HEALTH) as pipeline:
        waited = follow(pipeline, FRAMES)
    with pipeline_for(health=HEALTH, mode=RedetectionMode.BACKGROUND) as pipeline:
        live = follow(pipeline, FRAMES, after_each=join_searches)
        assert pipeline.redetection_counts.late == 0
    assert same(waited, live)


def test_no_frame_waits_and_a_replay_repeats_a_late_one() -> None:
    """The search hangs; 30 more frames are answered before it goes on. The record says when it was taken in."""
    pipeline, extractor = gated()
    with pipeline:
        answers = follow(pipeline, FRAMES[:75])
        assert extractor.searches == 1
        assert not any(a.redetected_from_ns for a in answers)
        assert pipeline.redetection_counts.late == 1
        extractor.gate.set()
        join_searches()
        answers += [pipeline.update(frame) for frame in FRAMES[75:]]
        assert pipeline.redetection_counts.merged == 1
    assert answers[75].redetected_from_ns
    assert answers[-1].visible.sum() >= 6
    assert all(on_block(answer) for answer in answers)

    record = {a.stamp_ns: a.redetected_from_ns for a in answers if a.redetected_from_ns}
    with pipeline_for(health=HEALTH) as replaying:
        assert same(follow(replaying, FRAMES, taken_in=record), answers)
    with pipeline_for(health=HEALTH) as replaying:
        assert not same(follow(replaying, FRAMES), answers)


def test_a_replay_of_a_search_that_never_came_back_does_not_take_it_in() -> None:
    pipeline, extractor = gated()
    answers = follow(pipeline, FRAMES)
    extractor.gate.set()
    pipeline.close()
    with pipeline_for(health=HEALTH) as replaying:
        assert same(follow(replaying, FRAMES, taken_in={}), answers)


def test_a_search_that_takes_too_long_is_given_up() -> None:
    pipeline, extractor = gated(merge_after_s=0.1, give_up_after_s=0.4)
    with pipeline:
        answers = follow(pipeline, FRAMES)
        assert pipeline.redetection_counts.abandoned >= 1
        assert not any(a.redetected_from_ns for a in answers)
        extractor.gate.set()
    assert not search_threads()


def test_a_search_that_raises_disturbs_nothing_and_is_tried_again_later() -> None:
    pipeline, extractor = gated(RedetectionMode.WAIT, retry_after_s=0.3)
    extractor.gate.set()
    extractor.error = RuntimeError("out of memory")
    with pipeline:
        answers = follow(pipeline, FRAMES[:60])
        assert "out of memory" in pipeline.redetection_counts.last_refusal
        assert pipeline.last_error is None
        assert not any(a.visible.any() for a in answers[JUMP:])
        extractor.error = None
        later = [pipeline.update(frame) for frame in FRAMES[60:]]
        assert pipeline.redetection_counts.merged == 1
    assert later[-1].visible.sum() >= 6


def test_pauses_between_refusals_double() -> None:
    pipeline, extractor = gated(
        RedetectionMode.WAIT, merge_after_s=0.05, retry_after_s=0.2, max_retry_after_s=0.8
    )
    extractor.gate.set()
    extractor.error = QueryError("nothing red is in the image")
    still = [dataclasses.replace(FRAMES[JUMP + k % 2], stamp_ns=(JUMP + k) * FRAME_NS) for k in range(150)]
    with pipeline:
        answers = follow(pipeline, itertools.chain(FRAMES[:JUMP], still))
    begun_s = np.array([a.redetected_from_ns for a in answers if a.redetected_from_ns]) / 1e9
    gaps_s = np.diff(begun_s)
    assert len(gaps_s) >= 4
    for gap_s, pause_s in zip(gaps_s, (0.2, 0.4, 0.8, 0.8), strict=False):
        assert pause_s + 0.05 <= gap_s <= pause_s + 0.05 + 4 / 30


def test_a_new_episode_does_not_get_the_result_of_the_one_before() -> None:
    pipeline, extractor = gated()
    with pipeline:
        follow(pipeline, FRAMES[:60])
        assert len(search_threads()) == 1
        pipeline.start(FRAMES[60])
        extractor.gate.set()
        answers = [pipeline.update(frame) for frame in FRAMES[61:]]
        join_searches()
        answers += [pipeline.update(dataclasses.replace(FRAMES[-1], stamp_ns=200 * FRAME_NS))]
        assert not any(a.redetected_from_ns for a in answers)
        assert pipeline.redetection_counts.begun == 0


def test_close_waits_for_the_search() -> None:
    pipeline, extractor = gated()
    follow(pipeline, FRAMES[:60])
    threading.Timer(0.1, extractor.gate.set).start()
    pipeline.close()
    assert not search_threads()
    pipeline.close()


class Glued(LucasKanadeTracker):
    """Knows where the block is; some points let go of it at the jump. Counts what is replaced."""

    def __init__(self, let_go: list[int]) -> None:
        super().__init__()
        self._let_go, self.replaced = let_go, []

    def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
        self._offset = keypoints.xy_px - HOME
        self._gone = np.zeros(len(keypoints), bool)
        return self.update(frame)

    def update(self, frame: CameraFrame) -> PointTracks:
        k = round(frame.stamp_ns / FRAME_NS)
        if k == JUMP:
            self._gone[self._let_go] = True
        xy = np.where(self._gone[:, None], HOME, self._offset + SCENE.path(k))
        return PointTracks(frame.stamp_ns, xy, ~self._gone, np.ones(len(xy)))

    def replace(self, frame: CameraFrame, index, xy_px) -> None:
        self.replaced.append(index.tolist())
        self._offset[index] = xy_px - SCENE.path(round(frame.stamp_ns / FRAME_NS))
        self._gone[index] = False


def test_only_lost_points_are_replaced() -> None:
    tracker = Glued([0, 2, 3, 5, 7])
    config = PerceptionConfig(num_keypoints=8)
    # A block that jumps is too fast for the plausible motion of points that hold on to it; here they are to hold.
    health = TrackHealthConfig(lose_after_s=0.5, min_jump_share=1.0, max_deviation_share=1.0)
    pipeline = PerceptionPipeline(
        build_extractor(config), tracker, health, [QUERY], mode=RedetectionMode.WAIT
    )
    with pipeline:
        answers = follow(pipeline, FRAMES)
    assert tracker.replaced == [[0, 2, 3, 5, 7]]
    held = [1, 4, 6]
    for k, answer in enumerate(answers):
        assert answer.visible[held].all()
        assert np.allclose(answer.xy_px[held] - SCENE.path(k), answers[0].xy_px[held] - HOME)
    assert answers[-1].visible.all()


class StartOnly:
    """A tracker without `replace`."""

    def __init__(self) -> None:
        self._tracker = LucasKanadeTracker()

    def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
        return self._tracker.start(frame, keypoints)

    def update(self, frame: CameraFrame) -> PointTracks:
        return self._tracker.update(frame)


def test_a_tracker_that_cannot_replace_points_is_started_again() -> None:
    """One of two objects is found again while the other is covered: what covers it is not taken for it."""
    other = (60.0, 60.0)
    white = (235, 235, 235)

    def frame(k: int) -> CameraFrame:
        image = block(block(TABLE, SCENE.path(k)), other, BLUE)
        image = block(image, other, white, SIZE + 24) if 30 <= k < 70 else image
        return CameraFrame(k * FRAME_NS, "c", noisy(image, k), FRAMES[0].intrinsics)

    config = PerceptionConfig(num_keypoints=16)
    health = TrackHealthConfig(lose_after_s=0.5)
    queries = [QUERY, "blue block"]
    pipeline = PerceptionPipeline(
        build_extractor(config), StartOnly(), health, queries, mode=RedetectionMode.WAIT
    )
    with pipeline:
        answers = follow(pipeline, [frame(k) for k in range(70)])
        assert pipeline.redetection_counts.merged == 1
    red, blue = (answers[0].query_index == q for q in (0, 1))
    assert answers[-1].visible[red].mean() >= 0.75
    assert not any(a.visible[blue].any() for a in answers[31:])
    assert all(
        (np.abs(a.xy_px - SCENE.path(k)).max(axis=1) < SIZE / 2 + 2)[red & a.visible].all()
        for k, a in enumerate(answers)
    )


@pytest.mark.parametrize("other", [(60.0, 60.0), (250.0, 60.0)])
def test_one_of_two_objects_is_found_again_and_the_other_stays(other) -> None:
    scene = Scene(SCENE.path, others=[(other, BLUE)])
    with pipeline_for([QUERY, "blue block"], health=HEALTH) as pipeline:
        answers = follow(pipeline, scene.frames(0, 75))
        assert pipeline.redetection_counts.merged == 1
    blue = answers[0].query_index == 1
    assert all(a.visible[blue].mean() > 0.8 for a in answers)
    assert all(np.abs(a.xy_px - answers[0].xy_px)[blue & a.visible].max() < 1.0 for a in answers)
    assert answers[-1].tracked_share_of(0) >= 0.75
    assert answers[-1].tracked_share_of(1) >= 0.75


@pytest.mark.parametrize(
    ("size", "color", "why"),
    [(100, RED, "area"), (SIZE, (230, 70, 110), "colours")],
    ids=["larger", "pink"],
)
def test_something_else_in_its_place_is_refused(size, color, why) -> None:
    """The block vanishes; another thing that answers to its query comes. Nothing of it is ever called tracked."""
    image = block(TABLE, (220.0, 150.0), color, size)
    other = [CameraFrame(k * FRAME_NS, "c", noisy(image, k), FRAMES[0].intrinsics) for k in range(JUMP, 70)]
    with pipeline_for(health=HEALTH) as pipeline:
        answers = follow(pipeline, itertools.chain(FRAMES[:JUMP], other))
        counts = pipeline.redetection_counts
    assert counts.refused >= 1
    assert counts.merged == 0
    assert why in counts.last_refusal
    assert not any(a.visible.any() for a in answers[JUMP:])


def test_two_that_look_alike_are_refused() -> None:
    image = block(block(TABLE, (70.0, 170.0)), (240.0, 60.0))
    two = [CameraFrame(k * FRAME_NS, "c", noisy(image, k), FRAMES[0].intrinsics) for k in range(JUMP, 70)]
    with pipeline_for(health=HEALTH) as pipeline:
        answers = follow(pipeline, itertools.chain(FRAMES[:JUMP], two))
        assert "ambiguous" in pipeline.redetection_counts.last_refusal
    assert not any(a.visible.any() for a in answers[JUMP:])


def looks(center=HOME, color=RED):
    extractor = build_extractor(PerceptionConfig(num_keypoints=8))
    frame = camera_frame(block(TABLE, center, color))
    query = "red block" if color == RED else "blue block"
    return look_of(frame.rgb, extractor.extract_object(frame, query, 8))


def test_refusals_one_by_one() -> None:
    config, none = RedetectionConfig(), np.zeros((0, 2))
    then, now = looks(), looks(AWAY)
    assert refusal(then, now, config, none, {"blue block": none}) is None
    assert "colours" in refusal(then, looks(AWAY, BLUE), config, none, {})
    assert "'blue block'" in refusal(then, now, config, none, {"blue block": now.points.xy_px[:3]})
    assert "elsewhere" in refusal(then, now, config, then.points.xy_px[:4], {})
    assert refusal(then, now, config, now.points.xy_px[:4], {}) is None
    half = dataclasses.replace(then, area_share=now.area_share * 4)
    assert "area" in refusal(half, now, config, none, {})
    sure = dataclasses.replace(then.points.detection, score=1.0)
    better = dataclasses.replace(then, points=dataclasses.replace(then.points, detection=sure))
    doubtful = dataclasses.replace(now.points.detection, score=0.4)
    worse = dataclasses.replace(now, points=dataclasses.replace(now.points, detection=doubtful))
    assert "detector gives it 0.40" in refusal(better, worse, config, none, {})
    turned = dataclasses.replace(
        then, points=dataclasses.replace(then.points, mean_feature=-then.points.mean_feature)
    )
    assert "features" in refusal(turned, now, config, none, {})


def test_match_pairs_by_features_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    old = rng.normal(size=(15, 5))
    order = rng.permutation(15)
    new = (old + 0.01 * rng.normal(size=old.shape))[order]
    assert np.array_equal(order[match(old, new)], np.arange(15))
    assert sorted(match(old, rng.normal(size=(15, 5)))) == list(range(15)), "every new point is used once"


def test_points_are_carried_to_the_present_frame() -> None:
    scene = Scene(moving)
    first = scene.frame(0)
    points = build_extractor(PerceptionConfig(num_keypoints=8)).extract_object(first, QUERY, 8)
    carrier = PointCarrier(first, points.xy_px, np.zeros(8, int))
    for frame in scene.frames(1, 31):
        carrier.advance(gray_of(frame))
    xy_px, arrived = carrier.arrived(frame)
    assert arrived.mean() >= 0.75
    error = np.linalg.norm(xy_px - points.xy_px - np.subtract(moving(30), moving(0)), axis=1)
    assert error[arrived].max() < 2.0


def test_points_that_are_covered_on_the_way_do_not_arrive() -> None:
    scene = Scene(covered=lambda k: k >= 5)
    first = scene.frame(0)
    points = build_extractor(PerceptionConfig(num_keypoints=8)).extract_object(first, QUERY, 8)
    carrier = PointCarrier(first, points.xy_px, np.zeros(8, int))
    for frame in scene.frames(1, 11):
        carrier.advance(gray_of(frame))
    assert not carrier.arrived(frame)[1].any()


def test_sizes_are_of_the_scene() -> None:
    assert FRAMES[0].rgb.shape == (HEIGHT, WIDTH, 3)
