"""Small charts for pictures: a bar chart and a colour scale, drawn by OpenCV at the picture's own resolution."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from glue_perception.overlay.style import INK, WHITE, Color, put_text, text_scale, text_size

Image = UInt8[np.ndarray, "height width 3"]

_GREY = (150, 152, 156)
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 30, 22
_BAR_SHARE = 0.62


def bar_chart(
    size_px: tuple[int, int],
    title: str,
    names: Sequence[str],
    values: Float[np.ndarray, "n"],
    ceiling: float,
    colors: UInt8[np.ndarray, "n 3"],
    *,
    marks: Float[np.ndarray, "n"] | None = None,
    mark_color: Color = WHITE,
    line_at: float | None = None,
    hollow: Bool[np.ndarray, "n"] | None = None,
) -> Image:
    """Return a bar chart on dark ground.

    Args:
        size_px: Width and height.
        title: One line above.
        names: One below each bar.
        values: From 0 to `ceiling`.
        ceiling: Upper end of the scale.
        colors: Of the bars.
        marks: A second value per bar, drawn as a tick.
        mark_color: Of the ticks.
        line_at: Value of a line across.
        hollow: Bars that are outlines only, as what they stand for is hidden.
    """
    width, height = size_px
    image: np.ndarray = np.full((height, width, 3), INK, np.uint8)
    scale = 0.42
    base, top = height - _BOTTOM, _TOP
    put_text(image, title, (8, 18), scale, WHITE)

    def level(value: float) -> int:
        return round(base - (base - top) * min(1.0, max(0.0, value / ceiling)))

    for value in (0.0, ceiling / 2, ceiling):
        cv2.line(image, (_LEFT, level(value)), (width - _RIGHT, level(value)), (60, 62, 66), 1)
        text = f"{value:.3g}"
        put_text(image, text, (_LEFT - 6 - text_size(text, scale)[0], level(value) + 4), scale, _GREY)
    step = (width - _LEFT - _RIGHT) / len(values)
    for index, value in enumerate(values):
        middle = _LEFT + (index + 0.5) * step
        x0, x1 = round(middle - _BAR_SHARE * step / 2), round(middle + _BAR_SHARE * step / 2)
        is_hollow = hollow is not None and bool(hollow[index])
        cv2.rectangle(
            image,
            (x0, level(float(value))),
            (x1, base),
            colors[index].tolist(),
            1 if is_hollow else cv2.FILLED,
        )
        if marks is not None:
            y = level(float(marks[index]))
            cv2.line(image, (x0 - 2, y), (x1 + 2, y), INK, 5)
            cv2.line(image, (x0 - 2, y), (x1 + 2, y), mark_color, 3)
        name_width = text_size(names[index], scale)[0]
        put_text(image, names[index], (round(middle - name_width / 2), height - 6), scale, WHITE)
    if line_at is not None:
        for x in range(_LEFT, width - _RIGHT, 8):
            cv2.line(image, (x, level(line_at)), (x + 4, level(line_at)), WHITE, 1)
    return image


def color_bar(
    image: Image, colors: UInt8[np.ndarray, "n 3"], ticks: Sequence[tuple[float, str]], title: str
) -> Image:
    """Return a copy with a colour scale in its lower left corner.

    Args:
        image: The picture.
        colors: From the lower end to the upper.
        ticks: Place in 0..1 and text.
        title: Above the scale.
    """
    drawn = image.copy()
    scale, height = text_scale(image), image.shape[0]
    length, x, y = round(0.36 * image.shape[1]), 12, height - 34
    wide = max(length + 40, text_size(title, scale)[0] + 16)
    ground = np.s_[y - 26 : height - 4, 4 : 4 + wide]
    drawn[ground] = (drawn[ground] * 0.25).astype(np.uint8)
    put_text(drawn, title, (x, y - 8), scale, WHITE)
    drawn[y : y + 10, x : x + length] = cv2.resize(
        np.ascontiguousarray(colors[None]), (length, 10), interpolation=cv2.INTER_LINEAR
    )
    for place, text in ticks:
        at = x + round(place * length)
        cv2.line(drawn, (at, y + 10), (at, y + 13), WHITE, 1)
        shift = round(place * text_size(text, scale)[0] * (0.5 if place < 1 else 0.6))
        put_text(drawn, text, (at - shift, y + 26), scale, WHITE)
    return drawn
