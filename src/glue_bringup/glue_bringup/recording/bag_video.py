"""Turns an episode into an overlay video: key-patches by health and the predicted chunk drawn into the image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from glue_perception.bags.reader import BagReader
from glue_perception.geometry import project_points
from glue_perception.overlay import draw_path, draw_tracking
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches
from glue_perception.video import VideoWriter


class EpisodeVideo:
    """Draws frame by frame what perception and policy said.

    Args:
        path: The video file.
        metadata: Of the bag: task and queries for the caption, T_base_camera for drawing chunks; without it,
            chunks are not drawn.
        rate_hz: The camera's rate, which is the playback rate.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str], rate_hz: float) -> None:
        self._writer = VideoWriter(path, rate_hz)
        self._queries: list[str] = json.loads(metadata.get("queries", "[]"))
        extrinsics = metadata.get("T_base_camera")
        self._T_base_camera = np.array(json.loads(extrinsics)) if extrinsics else None
        self._chunk: ActionChunk | None = None
        self._first_ns: int | None = None

    def add(self, frame: CameraFrame, patches: KeyPatches, chunk: ActionChunk | None) -> None:
        """Draw one frame; the last chunk stays visible, without its past, until the next one comes."""
        if chunk is not None:
            self._chunk = chunk
        if self._first_ns is None:
            self._first_ns = frame.stamp_ns
        seconds = (frame.stamp_ns - self._first_ns) / NS_PER_S
        image = draw_tracking(frame, patches, self._queries, [f"{seconds:4.1f} s"])
        future_px = self._future_px(frame)
        self._writer.write(image if future_px is None else draw_path(image, future_px))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

    def _future_px(self, frame: CameraFrame) -> Float[np.ndarray, "h 2"] | None:
        if self._chunk is None or self._T_base_camera is None:
            return None
        passed = max(0, (frame.stamp_ns - self._chunk.stamp_ns) // self._chunk.dt_ns)
        return project_points(self._chunk.position_m[passed:], self._T_base_camera, frame.intrinsics)


def write_bag_video(bag_path: Path, video_path: Path, rate_hz: float) -> None:
    """Draw a recorded episode as it was seen and decided then.

    Raises:
        BagError: the bag cannot be read.
        ConfigError: the video cannot be written.
    """
    with BagReader(bag_path) as bag:
        patches = {p.stamp_ns: p for p in bag.key_patches()}
        chunks = {c.stamp_ns: c for c in bag.chunks()}
        video = EpisodeVideo(video_path, bag.metadata, rate_hz)
        for frame in tqdm(bag.frames(), desc="video", unit="frame", dynamic_ncols=True):
            if frame.stamp_ns in patches:
                video.add(frame, patches[frame.stamp_ns], chunks.get(frame.stamp_ns))
        video.close()
