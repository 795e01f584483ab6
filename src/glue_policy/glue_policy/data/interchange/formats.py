"""The formats by name; the package of each is imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glue_perception.config import suggest
from glue_perception.errors import ConfigError
from glue_policy.data.interchange.base import DatasetWriter, Reader


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        writer: From the path of the new dataset to its writer.
        read: From the path of a dataset to its demonstrations.
    """

    writer: Callable[[Path], DatasetWriter]
    read: Reader


NAMES = ("lerobot", "robomimic", "diffusion_policy")


def find_format(name: str, images: str = "video") -> Format:
    """Return a format by name.

    Args:
        name: One of `NAMES`.
        images: For LeRobot: `video` or `png`.

    Raises:
        ConfigError: no such format.
    """
    if name == "lerobot":
        from glue_policy.data.interchange import lerobot_reader
        from glue_policy.data.interchange.lerobot_writer import ImageStorage, LeRobotWriter

        storage = ImageStorage(images)
        return Format(lambda path: LeRobotWriter(path, storage), lerobot_reader.read)
    if name == "robomimic":
        from glue_policy.data.interchange import robomimic

        return Format(robomimic.RobomimicWriter, robomimic.read)
    if name == "diffusion_policy":
        from glue_policy.data.interchange import diffusion_policy

        return Format(diffusion_policy.DiffusionPolicyWriter, diffusion_policy.read)
    raise ConfigError(f"unknown format {name!r}.{suggest(name, NAMES)}")
