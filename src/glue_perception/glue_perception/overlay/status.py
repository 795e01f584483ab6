"""Lines of text on a dark strip at an edge of the picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glue_perception.overlay.style import (
    INK,
    WHITE,
    Color,
    Image,
    Rect,
    common_area,
    put_text,
    text_scale,
    text_size,
)

_MAX_LINES = 8


@dataclass(frozen=True)
class StatusLine:
    """One line of the strip; a long one is wrapped."""

    text: str
    color: Color = WHITE


class StatusStrip:
    """Text laid out for one picture: its place is known before anything else is drawn.

    Args:
        image: The picture.
        lines: Its text, the most important first; what does not fit is left out and said so.
        objects: What it should not cover: it moves to the lower edge where only the upper one is occupied.
    """

    def __init__(self, image: Image, lines: Sequence[StatusLine | str], objects: Sequence[Rect] = ()) -> None:
        self._scale = text_scale(image)
        height, width = image.shape[:2]
        self._lines = _wrapped(lines, width, self._scale)
        sizes = [text_size(line.text, self._scale) for line in self._lines]
        self._line_height = round(1.75 * max((size[1] for size in sizes), default=0))
        self._pad = self._line_height // 2
        right = min(width, max((size[0] for size in sizes), default=-2 * self._pad) + 2 * self._pad)
        tall = min(height, self._line_height * len(sizes) + self._pad) if sizes else 0
        above, below = (0, 0, right, tall), (0, height - tall, right, height)
        self.rect = below if common_area(below, objects) < common_area(above, objects) else above

    def draw(self, image: Image) -> Image:
        """Return a copy of the picture with the strip."""
        drawn = image.copy()
        left, top, right, bottom = self.rect
        if bottom > top:
            panel = drawn[top:bottom, left:right]
            drawn[top:bottom, left:right] = (panel * 0.28 + np.array(INK) * 0.72).astype(np.uint8)
        for k, line in enumerate(self._lines):
            at = (left + self._pad, top + (k + 1) * self._line_height - self._pad // 4)
            put_text(drawn, line.text, at, self._scale, line.color)
        return drawn


def draw_status(image: Image, lines: Sequence[StatusLine | str]) -> Image:
    """Return a copy with lines of text on a dark strip at the top left."""
    return StatusStrip(image, lines).draw(image)


def _wrapped(lines: Sequence[StatusLine | str], width_px: int, scale: float) -> list[StatusLine]:
    # Hershey's letters differ in width; an average one is about this wide.
    letter_px = max(1.0, text_size("abcdefghij mnop rstu", scale)[0] / 20.0)
    columns = max(12, int(0.94 * width_px / letter_px))
    found = []
    for line in lines:
        line = StatusLine(line) if isinstance(line, str) else line
        found += [
            StatusLine(part, line.color)
            for part in textwrap.wrap(line.text, columns, subsequent_indent="   ")
        ]
    if len(found) > _MAX_LINES:
        found = [*found[: _MAX_LINES - 1], StatusLine("... more in the report")]
    return found
