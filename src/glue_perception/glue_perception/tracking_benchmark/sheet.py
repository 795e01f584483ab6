"""The picture of a benchmark: one row per point, one magnified cut-out per labelled frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from glue_perception.overlay import HEALTH_COLORS
from glue_perception.tracking_benchmark.clip_run import ClipRun, called_tracked
from glue_perception.tracking_benchmark.labels import LabelledClip, LabelledPoint
from glue_perception.types import CameraFrame, TrackHealth

Image = UInt8[np.ndarray, "height width 3"]

_CUT_PX = 48
_MAGNIFICATION = 3
_TILE_PX = _CUT_PX * _MAGNIFICATION
_TEXT_PX = 18
_NAME_PX = 150
_WHITE, _INK, _GOOD, _BAD = (255, 255, 255), (18, 20, 24), (40, 220, 150), (240, 40, 40)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class ContactSheet:
    """Collects the labelled frames of one clip, then draws label and answer side by side.

    A cross is the label; a ring in the colour of health (green tracked, amber occluded, red lost) is the answer. The
    tile's edge is red where health says tracked about a hidden point, or where a tracked point is 5 px off or more.
    """

    def __init__(self, clip: LabelledClip) -> None:
        self._clip = clip
        self._wanted = {frame for point in clip.points for frame in point.frames}
        self._frames: dict[int, Image] = {}

    def add(self, frame: CameraFrame, index: int) -> None:
        """Keep the frame if it has labels."""
        if index in self._wanted:
            size = (self._clip.width_px, self._clip.height_px)
            self._frames[index] = frame.rgb if frame.rgb.shape[1::-1] == size else cv2.resize(frame.rgb, size)

    def draw(self, run: ClipRun) -> Image:
        """Return the sheet."""
        rows = [self._row(point, index, run) for index, point in enumerate(self._clip.points)]
        width = max(row.shape[1] for row in rows)
        return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])

    def _row(self, point: LabelledPoint, index: int, run: ClipRun) -> Image:
        name = np.full((_TILE_PX + _TEXT_PX, _NAME_PX, 3), _INK, np.uint8)
        for line, text in enumerate((point.name, point.query)):
            cv2.putText(name, text[:20], (6, 24 + 20 * line), _FONT, 0.42, _WHITE, 1, cv2.LINE_AA)
        tiles = [name]
        for frame, label in point.frames.items():
            health = int(run.health[frame, index])
            if frame in self._frames and health >= 0:
                tiles.append(self._tile(frame, label, run.xy_px[frame, index], TrackHealth(health)))
        return np.hstack(tiles)

    def _tile(
        self,
        frame: int,
        label: tuple[float, float] | None,
        answer: Float[np.ndarray, "2"],
        health: TrackHealth,
    ) -> Image:
        centre = np.array(label if label is not None else answer)
        origin = np.round(centre) - _CUT_PX // 2
        image = self._frames[frame]
        cut = cv2.warpAffine(
            image, np.array([[1, 0, -origin[0]], [0, 1, -origin[1]]], float), (_CUT_PX, _CUT_PX)
        )
        tile = cv2.resize(cut, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_CUBIC)
        if label is not None:
            _cross(tile, _on_tile(np.array(label), origin))
        cv2.circle(tile, _on_tile(answer, origin), 7, HEALTH_COLORS[health], 2, cv2.LINE_AA)
        error_px = None if label is None else float(np.linalg.norm(answer - np.array(label)))
        tracked = bool(called_tracked(np.array(health)))
        wrong = tracked and (error_px is None or error_px >= 5.0)
        cv2.rectangle(tile, (0, 0), (_TILE_PX - 1, _TILE_PX - 1), _BAD if wrong else _INK, 3 if wrong else 1)
        text = f"{frame}  " + ("hidden" if error_px is None else f"{error_px:.1f} px")
        strip = np.full((_TEXT_PX, _TILE_PX, 3), _INK, np.uint8)
        cv2.putText(strip, text, (4, 13), _FONT, 0.4, _BAD if wrong else _GOOD, 1, cv2.LINE_AA)
        return np.vstack([strip, tile])


def _on_tile(xy_px: Float[np.ndarray, "2"], origin: Float[np.ndarray, "2"]) -> tuple[int, int]:
    x, y = np.clip((xy_px - origin + 0.5) * _MAGNIFICATION - 0.5, -1000, 1000)
    return round(float(x)), round(float(y))


def _cross(tile: Image, at: tuple[int, int]) -> None:
    for color, thick in ((_INK, 3), (_WHITE, 1)):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            cv2.line(
                tile,
                (at[0] + 3 * dx, at[1] + 3 * dy),
                (at[0] + 12 * dx, at[1] + 12 * dy),
                color,
                thick,
                cv2.LINE_AA,
            )
