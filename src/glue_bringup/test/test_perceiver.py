"""What perception did live, late re-detections included, comes out of its bag again; late frames are not in it."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from glue_bringup.loop.perceiver import Perceiver
from glue_bringup.loop.replay import redetections_of
from glue_bringup.recording.episode_recorder import EpisodeRecorder, Outcome
from glue_bringup.task_config import load_task
from glue_perception.bags.reader import BagReader
from glue_perception.perception_config import PerceptionConfig
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import LatencyRecorder
from glue_perception.track_health import TrackHealthConfig
from glue_perception.types import CameraFrame, KeyPatches, RobotState

T0_NS = 1_700_000_000_000_000_000
FRAME_NS = 33_333_333
CONFIG = PerceptionConfig(num_keypoints=6, health=TrackHealthConfig(lose_after_s=0.4))
STATE = RobotState(0, np.zeros(7), np.zeros(7), np.eye(4), 0.02)
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


def frame(k: int) -> CameraFrame:
    """A patterned red disc on grey that is somewhere else from frame 10 on."""
    rng = np.random.default_rng(0)
    rgb = np.full((240, 320, 3), 120, np.int16)
    center = (80, 80) if k < 10 else (230, 150)
    disc = cv2.circle(np.zeros((240, 320), np.uint8), center, 24, 1, cv2.FILLED).astype(bool)
    pattern = cv2.GaussianBlur(rng.normal(0, 90, (49, 49, 1)).astype(np.float32), (0, 0), 2.0)
    x, y = center
    rgb[y - 24 : y + 25, x - 24 : x + 25][disc[y - 24 : y + 25, x - 24 : x + 25]] = (
        pattern[..., None] + [190, 25, 30]
    ).clip(0, 255)[disc[y - 24 : y + 25, x - 24 : x + 25]]
    rgb += np.random.default_rng(k).integers(-2, 3, rgb.shape, dtype=np.int16)
    return CameraFrame(T0_NS + k * FRAME_NS, "camera", rgb.clip(0, 255).astype(np.uint8), K)


def same(a: KeyPatches, b: KeyPatches) -> bool:
    names = ("row_col", "xy_px", "visible", "health")
    return a.redetected_from_ns == b.redetected_from_ns and all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in names
    )


def record(path: Path, order: list[int], mode: RedetectionMode) -> None:
    """Perception of some frames in some order; the search for what is lost is not waited for before frame 60."""
    with (
        build_pipeline(CONFIG, ["red button"], mode) as pipeline,
        EpisodeRecorder(path, {}) as recorder,
    ):
        perceiver = Perceiver(pipeline, recorder, LatencyRecorder())
        perceiver.start(frame(order[0]), STATE)
        for k in order[1:]:
            if k == 60:
                for thread in threading.enumerate():
                    if thread.name == "redetection":
                        thread.join()
            assert perceiver.observe(frame(k), STATE).stamp_ns == T0_NS + k * FRAME_NS
        recorder.close(Outcome.SUCCESS)


@pytest.mark.parametrize("mode", RedetectionMode)
def test_a_replay_does_as_the_record(tmp_path, mode) -> None:
    record(tmp_path / "bag", list(range(70)), mode)
    with BagReader(tmp_path / "bag") as bag:
        redetections = redetections_of(bag)
        assert len(redetections) == 1
        frames, recorded = list(bag.frames()), list(bag.key_patches())
    with build_pipeline(CONFIG, ["red button"], RedetectionMode.WAIT) as pipeline:
        pipeline.start(frames[0], redetections)
        replayed = [pipeline.key_patches, *(pipeline.update(f) for f in frames[1:])]
    assert recorded[-1].visible.mean() > 0.5
    assert [same(a, b) for a, b in zip(recorded, replayed, strict=True)] == [True] * 70


def test_late_and_repeated_frames_are_answered_but_not_recorded(tmp_path) -> None:
    record(tmp_path / "bag", [0, 1, 2, 1, 2, 2, 3, 0, 4], RedetectionMode.WAIT)
    with BagReader(tmp_path / "bag") as bag:
        assert [f.stamp_ns for f in bag.frames()] == [T0_NS + k * FRAME_NS for k in range(5)]
        assert [p.stamp_ns for p in bag.key_patches()] == [T0_NS + k * FRAME_NS for k in range(5)]
        assert all(p.visible.all() for p in bag.key_patches())


def test_a_bag_without_key_patches_says_nothing_of_redetections(tmp_path) -> None:
    with EpisodeRecorder(tmp_path / "bag", {}) as recorder:
        recorder.frame(frame(0))
    with BagReader(tmp_path / "bag") as bag:
        assert redetections_of(bag) is None


def test_only_a_simulated_camera_may_repeat_its_picture() -> None:
    task = load_task("push_button")
    assert task.perception.stream.max_frozen_s == 0.5
    assert task.for_simulation().perception.stream.max_frozen_s is None
