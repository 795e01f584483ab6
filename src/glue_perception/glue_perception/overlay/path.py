"""The predicted action chunk as a line in the image."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from glue_perception.overlay.style import INK, Image, pixel, stroke


def draw_path(image: Image, xy_px: Float[np.ndarray, "horizon 2"]) -> Image:
    """Return a copy with a predicted action chunk as a line from cyan (now) to magenta (last).

    Args:
        image: The frame.
        xy_px: Where the actions' positions project to; actions with NaN (behind the camera) are left out.
    """
    drawn = image.copy()
    known = xy_px[np.isfinite(xy_px).all(axis=1)]
    thick = stroke(image)
    for width, ink in ((thick + 3, True), (thick + 1, False)):
        for k in range(len(known) - 1):
            part = k / max(1, len(known) - 2)
            color = INK if ink else (round(40 + 215 * part), round(210 - 150 * part), round(255 - 45 * part))
            cv2.line(drawn, pixel(known[k]), pixel(known[k + 1]), color, width, cv2.LINE_AA)
    if len(known):
        cv2.circle(drawn, pixel(known[-1]), 3 * thick, (255, 60, 210), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(drawn, pixel(known[-1]), 3 * thick, INK, 1, cv2.LINE_AA)
    return drawn
