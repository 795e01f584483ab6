"""One way to open every kind of camera: a picture, a video clip, a recorded bag, or a live RealSense."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from glue_perception.cameras.bag import BagCamera
from glue_perception.cameras.base import CountingCamera
from glue_perception.cameras.clip import ClipCamera
from glue_perception.cameras.image import IMAGE_SUFFIXES, ImageCamera
from glue_perception.cameras.realsense_config import RealSenseConfig
from glue_perception.errors import ConfigError

LIVE = "realsense"
"""The word, alone or before `:SERIAL`, that means a connected camera instead of a path."""

BAG_FILE_SUFFIXES = frozenset({".mcap", ".db3", ".bag"})


def is_live(source: str) -> bool:
    """Return whether a source names a connected camera, which has no end and no first frame to start at."""
    return source.split(":", 1)[0] == LIVE


def open_camera(
    source: str, start_frame: int = 0, realsense: RealSenseConfig | None = None
) -> CountingCamera:
    """Return the camera that a source names, started.

    Args:
        source: Path of a picture, of a video clip or of a rosbag2 directory; or `realsense` or `realsense:SERIAL`
            for a connected camera. A file of the name realsense is reached as ./realsense.
        start_frame: First frame of a recording to give, from 0.
        realsense: Settings of a connected camera; None takes the defaults. They play no part for a recording.

    Raises:
        ConfigError: there is no such file, it is no picture or clip, or it ends before `start_frame`.
        BagError: a directory that is not a sound bag.
        HardwareError: a clip that cannot be decoded; no such camera is connected, or it is in use.
        MissingDependencyError: a connected camera is asked for and pyrealsense2 is not installed.
    """
    if start_frame < 0:
        raise ConfigError(f"the first frame must be 0 or more, not {start_frame}")
    if is_live(source):
        if start_frame > 0:
            raise ConfigError(
                f"a connected camera starts at its newest frame; leave out the first frame {start_frame}"
            )
        return _open_realsense(source, realsense or RealSenseConfig())
    path = Path(source)
    if not source or not path.exists():
        raise ConfigError(
            f"{source!r} does not exist; give the path of a picture, of a video clip or of a rosbag2 directory, "
            f"or {LIVE} or {LIVE}:SERIAL for a connected camera"
        )
    if path.is_dir():
        return BagCamera(path, start_frame)
    if path.suffix.lower() in BAG_FILE_SUFFIXES:
        raise ConfigError(
            f"{path} is one file of a bag; give the rosbag2 directory around it, the one that holds metadata.yaml"
        )
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return ClipCamera(path, start_frame=start_frame)
    if start_frame > 0:
        raise ConfigError(f"{path} is one picture, frame 0; there is no frame {start_frame}")
    return ImageCamera(path)


def _open_realsense(source: str, config: RealSenseConfig) -> CountingCamera:
    _, colon, serial = source.partition(":")
    if colon and not serial:
        raise ConfigError(f"{source!r} lacks the serial number; write {LIVE} or {LIVE}:SERIAL")
    if serial and config.serial not in (None, serial):
        raise ConfigError(f"the source names camera {serial}, but the settings camera {config.serial}")
    # In here, so that recordings can be read without the SDK's package.
    from glue_perception.cameras.realsense import open_realsense

    return open_realsense(dataclasses.replace(config, serial=serial) if serial else config)
