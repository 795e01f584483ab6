"""An object of a real clip is carried away while nobody looks, and is found where it lies at the clip's end.

Of the clip only the beginning and the end are shown, as if the camera had been covered between: all pixels are real.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from glue_perception.cameras.clip import ClipCamera
from glue_perception.perception_config import PerceptionConfig
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.types import CameraFrame

CLIPS = Path(os.environ.get("GLUE_CLIPS_DIR", Path(__file__).parents[4] / "shared/data/real_robot_clips"))
CLIP = CLIPS / "mango-glue-light.mp4"
BEGINNING, END = 20, 20
"""Frames of the clip that are shown; the end goes back and forth."""
SHOWN = 250
FRAME_NS = 21_276_596

ON_THE_PLATE_PX = np.array([395.0, 350.0]), np.array([470.0, 410.0])
"""Where the fruit lies in the clip's last frames."""

pytestmark = [
    pytest.mark.clips,
    pytest.mark.skipif(not CLIP.exists(), reason=f"no {CLIP}: set GLUE_CLIPS_DIR"),
]


def cut(frames: list[CameraFrame]) -> Iterator[CameraFrame]:
    end = frames[-END:]
    shown = frames[:BEGINNING] + list(islice(cycle(end + end[::-1]), SHOWN))
    for index, frame in enumerate(shown):
        yield replace(frame, stamp_ns=index * FRAME_NS)


def test_a_fruit_is_found_on_the_plate_under_party_light() -> None:
    frames = cut(list(ClipCamera(CLIP).frames()))
    with build_pipeline(PerceptionConfig(), ["yellow mango"], RedetectionMode.WAIT) as pipeline:
        pipeline.start(next(frames))
        told = [pipeline.update(frame) for frame in frames]
        counts = pipeline.redetection_counts
    assert counts.merged == 1
    taken_in = next(i for i, patches in enumerate(told) if patches.redetected_from_ns)
    # Until then nothing is vouched for where the fruit was.
    assert not any(patches.visible.any() for patches in told[BEGINNING + 5 : taken_in])
    last = told[-1]
    assert last.visible.mean() > 0.9
    low, high = ON_THE_PLATE_PX
    assert np.all((last.xy_px >= low) & (last.xy_px <= high))
