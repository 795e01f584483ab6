"""Labels that cover neither the objects nor each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2

from glue_perception.overlay.style import (
    INK,
    Color,
    Image,
    Rect,
    common_area,
    put_text,
    text_scale,
    text_size,
)

_MAX_CHARACTERS = 40
_STEPS = 6


@dataclass(frozen=True)
class Label:
    """A tag beside a rectangle.

    Attributes:
        text: One line; long ones are shortened.
        around: What it belongs to.
        ground: Colour of the tag.
        ink: Colour of the text.
    """

    text: str
    around: Rect
    ground: Color
    ink: Color = INK


def draw_labels(image: Image, labels: Sequence[Label], obstacles: Sequence[Rect] = ()) -> Image:
    """Return a copy with every label, the first ones nearest to their place.

    A label stands above its rectangle if it can, else below or beside it, else farther off with a line to it; where
    all places are taken, it takes the one that covers least.

    Args:
        image: The picture drawn so far.
        labels: In order of importance.
        obstacles: What no label should cover: objects, insets, the status strip.
    """
    drawn = image.copy()
    scale, taken = text_scale(image), list(obstacles)
    for label in labels:
        text = label.text if len(label.text) <= _MAX_CHARACTERS else label.text[: _MAX_CHARACTERS - 3] + "..."
        width, height = text_size(text, scale)
        pad = max(3, height // 3)
        place = _place(label.around, width + 2 * pad, height + 2 * pad, taken, image)
        taken.append(place)
        _lead(drawn, place, label)
        cv2.rectangle(drawn, place[:2], (place[2] - 1, place[3] - 1), label.ground, cv2.FILLED)
        put_text(drawn, text, (place[0] + pad, place[3] - pad), scale, label.ink)
    return drawn


def _place(around: Rect, width: int, height: int, taken: Sequence[Rect], image: Image) -> Rect:
    best, least = None, None
    for x, y in _places(around, width, height):
        # Pushed back into the image where it would leave it.
        x = min(max(0, x), max(0, image.shape[1] - width))
        y = min(max(0, y), max(0, image.shape[0] - height))
        place = (x, y, x + width, y + height)
        covered = common_area(place, taken)
        if covered == 0:
            return place
        if least is None or covered < least:
            best, least = place, covered
    assert best is not None  # noqa: S101  there is always a first place
    return best


def _places(around: Rect, width: int, height: int) -> Iterator[tuple[int, int]]:
    """Give left and top of a tag, the best places first."""
    left, top, right, bottom = around
    for step in range(_STEPS):
        off = step * (height + 2)
        for y in (top - height - off, bottom + off):
            yield left, y
            yield right - width, y
            yield (left + right - width) // 2, y
        for x in (right + 2 + off, left - width - 2 - off):
            yield x, top
            yield x, (top + bottom - height) // 2
            yield x, bottom - height
        for x in (left - width - off, right + off):
            yield x, top - height - off
            yield x, bottom + off


def _lead(drawn: Image, place: Rect, label: Label) -> None:
    """Draw a line from a tag to its rectangle where a gap lies between them."""
    left, top, right, bottom = label.around
    from_x, from_y = (place[0] + place[2]) // 2, (place[1] + place[3]) // 2
    to_x, to_y = min(max(from_x, left), right), min(max(from_y, top), bottom)
    gap_x = max(left - place[2], place[0] - right, 0)
    gap_y = max(top - place[3], place[1] - bottom, 0)
    if max(gap_x, gap_y) > 4:
        cv2.line(drawn, (from_x, from_y), (to_x, to_y), label.ground, 1, cv2.LINE_AA)
