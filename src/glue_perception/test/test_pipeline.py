"""The pipeline from frames to key-patches, and its configuration."""

import time

import cv2
import numpy as np
import pytest
from scenes import BLUE, RED, arm, box, camera_frame, disc, table

from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import ConfigError, NotReadyError, QueryError
from glue_perception.perception_config import BACK_END_NAMES
from glue_perception.pipeline import BACK_ENDS, PerceptionConfig, build_pipeline
from glue_perception.types import CameraFrame, TrackHealth

TABLE = box(table(), 100, 300, 180, 370, BLUE)
QUERIES = ["red button", "blue block"]


def image(k: int = 0) -> np.ndarray:
    return disc(TABLE, (330 + k, 250), 16, RED)


def stream(count: int = 20) -> list[CameraFrame]:
    return [camera_frame(arm(image(), 180 + 12 * k) if k > 5 else image(), k) for k in range(count)]


def test_gives_key_patches_of_every_frame() -> None:
    pipeline = build_pipeline(PerceptionConfig(), QUERIES)
    frames = stream()
    extraction = pipeline.start(frames[0])
    assert pipeline.extraction is extraction
    assert pipeline.key_patches.stamp_ns == frames[0].stamp_ns
    assert pipeline.key_patches.tracked_share == 1.0
    assert np.array_equal(pipeline.key_patches.query_index, extraction.keypoints.query_index)
    for frame in frames[1:]:
        patches = pipeline.update(frame)
        assert patches.stamp_ns == frame.stamp_ns
        assert len(patches) == 15
    assert (patches.health[patches.query_index == 1] == TrackHealth.TRACKED).all()


def test_a_hidden_object_is_not_visible() -> None:
    pipeline = build_pipeline(PerceptionConfig(), QUERIES)
    pipeline.start(camera_frame(image()))
    patches = pipeline.update(camera_frame(arm(image(), 290), 1))
    red = patches.query_index == 0
    assert not patches.visible[red].any()
    assert patches.visible[~red].all()


def test_deterministic_and_reset_between_episodes() -> None:
    pipeline, runs = build_pipeline(PerceptionConfig(), QUERIES), []
    for _ in range(2):
        frames = stream()
        pipeline.start(frames[0])
        runs.append([pipeline.key_patches, *(pipeline.update(frame) for frame in frames[1:])])
    for a, b in zip(*runs, strict=True):
        for name in ("row_col", "xy_px", "visible", "health"):
            assert np.array_equal(getattr(a, name), getattr(b, name))


def test_nothing_before_start_and_one_answer_per_stamp() -> None:
    pipeline = build_pipeline(PerceptionConfig(), QUERIES)
    with pytest.raises(NotReadyError, match="call start"):
        pipeline.update(camera_frame(image()))
    with pytest.raises(NotReadyError):
        _ = pipeline.key_patches
    pipeline.start(camera_frame(image(), 5))
    latest = pipeline.update(camera_frame(image(), 6))
    assert pipeline.update(camera_frame(image(), 6)) is latest


def test_a_failed_start_leaves_no_episode() -> None:
    pipeline = build_pipeline(PerceptionConfig(), QUERIES)
    pipeline.start(camera_frame(image()))
    with pytest.raises(QueryError, match="nothing red"):
        pipeline.start(camera_frame(TABLE, 1))
    with pytest.raises(NotReadyError):
        pipeline.update(camera_frame(image(), 2))


def test_given_detector_by_name() -> None:
    config = from_mapping(
        PerceptionConfig,
        {"detector": "given", "num_keypoints": 6, "given_boxes": {"thing": [314, 234, 347, 267]}},
        "test.yaml",
    )
    pipeline = build_pipeline(config, ["thing"])
    assert len(pipeline.start(camera_frame(image())).keypoints) == 6


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"profile": "embeded"}, "Did you mean 'embedded'"),
        ({"detector": "colour"}, "Did you mean 'color'"),
        ({"segmenter": "grab_cut"}, "Did you mean 'grabcut'"),
        ({"tracker": "lucas"}, "lucas_kanade"),
        ({"features": "x"}, "lab_position"),
        ({"num_keypoints": 0}, "at least 1"),
        ({"seed": -1}, "seed"),
        ({"color": {"min_area_share": -1.0}}, "min_area_share"),
        ({"detectr": "color"}, "Did you mean 'detector'"),
        ({"health": {"lose_after_s": 0.0}}, "lose_after_s"),
        ({"stream": {"max_frozen_s": -1.0}}, "max_frozen_s"),
        ({"redetection": {"merge_after_s": 9.0}}, "give_up_after_s"),
        ({"redetection": {"min_lost_share": 0.0}}, "min_lost_share"),
    ],
)
def test_config_refuses(values, says) -> None:
    with pytest.raises(ConfigError, match=says):
        from_mapping(PerceptionConfig, values, "test.yaml")


def test_config_round_trip_and_missing_boxes() -> None:
    config = PerceptionConfig(num_keypoints=10, given_boxes={"a": (1.0, 2.0, 3.0, 4.0)})
    assert from_mapping(PerceptionConfig, to_mapping(config), "x") == config
    with pytest.raises(ConfigError, match="given_boxes"):
        build_pipeline(PerceptionConfig(detector="given"), ["a"])
    with pytest.raises(QueryError, match="no queries"):
        build_pipeline(PerceptionConfig(), [])


def test_update_keeps_up_with_a_camera() -> None:
    """30 Hz leave 33 ms; an idle core takes 2 to 4. The fastest of 29 is what a busy machine cannot spoil."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        pipeline = build_pipeline(PerceptionConfig(), QUERIES)
        frames = stream(30)
        pipeline.start(frames[0])
        times = []
        for frame in frames[1:]:
            start = time.perf_counter()
            pipeline.update(frame)
            times.append(time.perf_counter() - start)
    finally:
        cv2.setNumThreads(threads)
    assert min(times) < 0.033


def test_every_back_end_that_can_be_named_can_be_built():
    assert {role: set(known) for role, known in BACK_ENDS.items()} == {
        role: set(names) for role, names in BACK_END_NAMES.items()
    }
