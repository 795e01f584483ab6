"""Colours, strokes and text of all pictures, in proportion to the image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from glue_perception.types import TrackHealth

Color = tuple[int, int, int]
Image = UInt8[np.ndarray, "height width 3"]
Rect = tuple[int, int, int, int]
"""Left, top, right, bottom in px; right and bottom exclusive."""

# Okabe and Ito's palette: told apart by colour-blind readers too. RGB.
HEALTH_COLORS: dict[TrackHealth, Color] = {
    TrackHealth.TRACKED: (40, 220, 150),
    TrackHealth.OCCLUDED: (255, 176, 0),
    TrackHealth.LOST: (230, 60, 40),
}
OBJECT_COLORS: tuple[Color, ...] = (
    (86, 180, 233),
    (240, 228, 66),
    (204, 121, 167),
    (0, 158, 115),
    (213, 94, 0),
)
WHITE: Color = (255, 255, 255)
INK: Color = (18, 20, 24)
RED: Color = (255, 120, 100)
AMBER: Color = (255, 196, 70)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def object_color(index: int) -> Color:
    """Return the colour of a query's box, mask and label; colours repeat after five."""
    return OBJECT_COLORS[index % len(OBJECT_COLORS)]


def stroke(image: Image) -> int:
    """Return the line width in px."""
    return max(1, round(int(min(image.shape[:2])) / 480))


def text_scale(image: Image) -> float:
    """Return OpenCV's font scale."""
    return max(0.35, 0.45 * int(min(image.shape[:2])) / 480)


def text_size(text: str, scale: float) -> tuple[int, int]:
    """Return width and height of a line in px, without what hangs below its base line."""
    (width, height), _ = cv2.getTextSize(text, FONT, scale, 1)
    return int(width), int(height)


def put_text(image: Image, text: str, at: tuple[int, int], scale: float, color: Color) -> None:
    """Draw a line of text in place; `at` is the left end of its base line."""
    cv2.putText(image, text, at, FONT, scale, color, 1, cv2.LINE_AA)


def pixel(xy_px: Float[np.ndarray, "2"]) -> tuple[int, int]:
    """Return the nearest pixel, bounded, as OpenCV refuses coordinates beyond 16 bits."""
    x, y = np.clip(xy_px, -10_000, 10_000)
    return round(float(x)), round(float(y))


def common_area(one: Rect, others: Sequence[Rect]) -> int:
    """Return how many px of a rectangle others cover, counted once per other."""
    return sum(
        max(0, min(one[2], r[2]) - max(one[0], r[0])) * max(0, min(one[3], r[3]) - max(one[1], r[1]))
        for r in others
    )
