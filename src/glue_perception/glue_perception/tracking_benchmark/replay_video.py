"""A benchmarked clip as a video with every point drawn where the tracker said it was."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from glue_perception.cameras.clip import ClipCamera
from glue_perception.overlay import draw_points
from glue_perception.tracking_benchmark.clip_run import NOT_STARTED, ClipRun
from glue_perception.tracking_benchmark.labels import LabelledClip
from glue_perception.video import VideoWriter


def write_video(path: Path, source: Path, clip: LabelledClip, run: ClipRun) -> None:
    """Write `source` again with dots (tracked), rings (occluded) and crosses (lost), and the labels as squares."""
    camera = ClipCamera(source)
    try:
        with VideoWriter(path, run.rate_hz) as video:
            for index, frame in enumerate(camera.frames()):
                scale = np.array([frame.width_px / clip.width_px, frame.height_px / clip.height_px])
                started = run.health[index] != NOT_STARTED
                xy = (run.xy_px[index][started] + 0.5) * scale - 0.5
                image = draw_points(frame.rgb, xy, run.health[index][started])
                for point in clip.points:
                    label = point.frames.get(index)
                    if label is not None:
                        x, y = np.rint((np.array(label) + 0.5) * scale - 0.5).astype(int)
                        cv2.rectangle(image, (x - 6, y - 6), (x + 6, y + 6), (255, 255, 255), 1)
                cv2.putText(image, str(index), (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
                video.write(image)
    finally:
        camera.close()
