"""Turns an episode into an overlay video: key-patches by health and the predicted chunk drawn into the image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from glue_bringup.recording.episode_picture import EpisodePicture
from glue_perception.bags.reader import BagReader
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
        extrinsics = metadata.get("T_base_camera")
        self._picture = EpisodePicture(
            json.loads(metadata.get("queries", "[]")),
            np.array(json.loads(extrinsics)) if extrinsics else None,
        )
        self._chunk: ActionChunk | None = None
        self._first_ns: int | None = None

    def add(self, frame: CameraFrame, patches: KeyPatches, chunk: ActionChunk | None) -> None:
        """Draw one frame; the last chunk stays visible, without its past, until the next one comes."""
        if chunk is not None:
            self._chunk = chunk
        if self._first_ns is None:
            self._first_ns = frame.stamp_ns
        seconds = (frame.stamp_ns - self._first_ns) / NS_PER_S
        self._writer.write(self._picture.draw(frame, patches, self._chunk, [f"{seconds:4.1f} s"]))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


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
