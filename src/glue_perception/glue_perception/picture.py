"""Writes pictures, and makes the folders that files go to."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from glue_perception.errors import ConfigError


def write_picture(path: Path, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write one picture; the suffix chooses the format.

    Raises:
        ConfigError: the format is unknown or the file cannot be written.
    """
    make_folder_of(path)
    try:
        ok = cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ConfigError(f"{path}: unknown picture format {path.suffix!r}; use .png or .jpg") from error
    if not ok:
        raise ConfigError(f"cannot write the picture {path}; is its folder writable?")


def make_folder_of(path: Path) -> None:
    """Make the folder that a file goes to.

    Raises:
        ConfigError: it cannot be made, or the path is a folder itself.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path.parent}: {error.strerror}") from error
