"""The same faults in a clip of the paper's robot, which moves meanwhile; judged by the clip without faults."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import stream_faults

from glue_perception.cameras.clip import ClipCamera
from glue_perception.perception_config import PerceptionConfig
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.types import CameraFrame, KeyPatches

CLIPS = Path(os.environ.get("GLUE_CLIPS_DIR", Path(__file__).parents[4] / "shared/data/real_robot_clips"))
CLIP = CLIPS / "stack-glue.mp4"
SIZE = (480, 270)
COUNT = 120
FIRST, LAST = 30, 75
"""The faults' frames, of 47 per second."""

pytestmark = [
    pytest.mark.clips,
    pytest.mark.skipif(not CLIP.exists(), reason=f"no {CLIP}: set GLUE_CLIPS_DIR"),
]


def follow(frames) -> dict[int, KeyPatches]:
    with build_pipeline(PerceptionConfig(), ["blue block"], RedetectionMode.WAIT) as pipeline:
        frames = iter(frames)
        first = next(frames)
        pipeline.start(first)
        answers = {first.stamp_ns: pipeline.key_patches}
        for frame in frames:
            answers[frame.stamp_ns] = pipeline.update(frame)
    return answers


@pytest.fixture(scope="module")
def clip() -> list[CameraFrame]:
    frames = []
    for _, frame in zip(range(COUNT), ClipCamera(CLIP).frames(), strict=False):
        rgb = cv2.resize(frame.rgb, SIZE, interpolation=cv2.INTER_AREA)
        frames.append(CameraFrame(frame.stamp_ns, frame.frame_id, rgb, frame.intrinsics))
    return frames


@pytest.fixture(scope="module")
def undisturbed(clip) -> dict[int, KeyPatches]:
    return follow(clip)


FAULTS = {
    "black": (lambda frames: stream_faults.black(frames, FIRST, LAST - FIRST), True),
    "frozen": (lambda frames: stream_faults.frozen(frames, FIRST, LAST - FIRST), True),
    "outage": (lambda frames: stream_faults.outage(frames, FIRST, (LAST - FIRST) / 47), True),
    "stalled": (lambda frames: stream_faults.stalled(frames, every=12), False),
    "dropped": (lambda frames: stream_faults.dropped(frames, seed=0), False),
    "repeated": (lambda frames: stream_faults.repeated(frames, every=4), False),
    "smaller": (lambda frames: stream_faults.resized(frames, FIRST, 360, 203, LAST - FIRST), False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_visible_is_where_it_is_without_the_fault(name, clip, undisturbed) -> None:
    fault, hides = FAULTS[name]
    answers = follow(fault(clip))
    shares = []
    for frame in clip:
        if frame.stamp_ns not in answers:
            continue
        answer, truth = answers[frame.stamp_ns], undisturbed[frame.stamp_ns]
        factor = 1.0
        if name == "smaller" and clip[FIRST].stamp_ns <= frame.stamp_ns < clip[LAST].stamp_ns:
            factor = np.array([360 / SIZE[0], 203 / SIZE[1]])
        both = answer.visible & truth.visible
        apart = np.linalg.norm(((answer.xy_px + 0.5) / factor - 0.5 - truth.xy_px)[both], axis=1)
        assert apart.max(initial=0.0) < 2.0
        shares.append((frame.stamp_ns, answer.visible.mean()))
    late = (clip[LAST - 1] if hides else clip[1]).stamp_ns
    if hides:
        inside = [s for t, s in shares if clip[LAST - 5].stamp_ns <= t < clip[LAST].stamp_ns]
        assert not any(inside)
    after = [s for t, s in shares if t > late + 0.2e9]
    assert np.mean(after) > 0.85
