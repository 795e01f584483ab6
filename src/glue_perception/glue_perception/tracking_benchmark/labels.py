"""Points labelled by hand in video clips: reading and checking the file.

One JSON object: clip name -> `{"width": 960, "height": 540, "points": [{"name": ..., "query": ...,
"frames": {"0": [x, y], "80": null}}]}`. Pixels are of the given size, the centre of the top-left pixel is (0, 0);
frame numbers count from 0; `null` says that the point is hidden in that frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glue_perception.errors import ConfigError

_MAX_FILE_BYTES = 50_000_000
_MAX_SIDE_PX = 16_384


@dataclass(frozen=True)
class LabelledPoint:
    """One point of one clip.

    Attributes:
        name: Unique within its clip.
        query: Text of the object it lies on; points of one query move together.
        frames: Frame number -> (x, y) in px of the clip's labelled size, or None where the point is hidden.
    """

    name: str
    query: str
    frames: Mapping[int, tuple[float, float] | None]

    @property
    def first_visible(self) -> int | None:
        """First labelled frame in which the point can be seen; None if there is none."""
        return min((frame for frame, xy in self.frames.items() if xy is not None), default=None)


@dataclass(frozen=True)
class LabelledClip:
    """All labelled points of one clip; `width_px` and `height_px` are the size that labels count in."""

    name: str
    width_px: int
    height_px: int
    points: tuple[LabelledPoint, ...]

    @property
    def last_frame(self) -> int:
        """The last frame that has a label."""
        return max(frame for point in self.points for frame in point.frames)


def read_labels(path: Path) -> list[LabelledClip]:
    """Return the labelled clips of a file, in its order.

    Raises:
        ConfigError: the file is missing, too large, or not in the format; the message says where.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(
                f"{path} is larger than {_MAX_FILE_BYTES // 1_000_000} MB; that is no label file"
            )
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold an object of clip names; found {type(data).__name__}")
    if not data:
        raise ConfigError(f"{path} labels no clip; it must hold an object of at least one clip name")
    return [_clip(f"{path}: {name}", name, value) for name, value in data.items()]


def _clip(where: str, name: str, value: Any) -> LabelledClip:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be an object with width, height and points")
    width, height = (_side(where, key, value.get(key)) for key in ("width", "height"))
    points = value.get("points")
    if not isinstance(points, list) or not points:
        raise ConfigError(f"{where}: points must be a list of at least one point")
    parsed = tuple(
        _point(f"{where}: point {index}", point, width, height) for index, point in enumerate(points)
    )
    names = [point.name for point in parsed]
    for point_name in names:
        if names.count(point_name) > 1:
            raise ConfigError(f"{where}: two points are called {point_name!r}")
    return LabelledClip(name, width, height, parsed)


def _side(where: str, key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_SIDE_PX:
        raise ConfigError(f"{where}: {key} must be 1..{_MAX_SIDE_PX} px, not {value!r}")
    return value


def _point(where: str, value: Any, width: int, height: int) -> LabelledPoint:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be an object with name, query and frames")
    name, query = value.get("name"), value.get("query", "")
    if not isinstance(name, str) or not name or not isinstance(query, str):
        raise ConfigError(f"{where}: name must be a text of at least one letter, query a text")
    frames = value.get("frames")
    if not isinstance(frames, dict) or not frames:
        raise ConfigError(f"{where} ({name}): frames must map at least one frame number to [x, y] or null")
    parsed: dict[int, tuple[float, float] | None] = {}
    for key, xy in frames.items():
        if not key.isascii() or not key.isdigit() or len(key) > 9:
            raise ConfigError(f"{where} ({name}): {key!r} is not a frame number")
        parsed[int(key)] = _position(f"{where} ({name}), frame {key}", xy, width, height)
    point = LabelledPoint(name, query, dict(sorted(parsed.items())))
    if point.first_visible is None:
        raise ConfigError(f"{where} ({name}) is hidden in every labelled frame; there is nowhere to start")
    return point


def _position(where: str, xy: Any, width: int, height: int) -> tuple[float, float] | None:
    if xy is None:
        return None
    if not isinstance(xy, list) or len(xy) != 2:
        raise ConfigError(f"{where}: a position must be [x, y] or null, not {xy!r}")
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) for v in xy):
        raise ConfigError(f"{where}: a position must hold two finite numbers, not {xy!r}")
    x, y = float(xy[0]), float(xy[1])
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise ConfigError(f"{where}: [{x:g}, {y:g}] lies outside the image of {width} x {height} px")
    return x, y
