"""Masks and boxes: solid around what was chosen, dashed around what else was found."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from glue_perception.overlay.labels import Label, draw_labels
from glue_perception.overlay.style import INK, Color, Image, Rect, object_color, stroke
from glue_perception.types import Detection


def draw_masks(
    image: Image,
    masks: Sequence[Bool[np.ndarray, "height width"] | None] | Bool[np.ndarray, "objects height width"],
    opacity: float = 0.35,
) -> Image:
    """Return a copy with every object tinted in its colour and outlined; None leaves a colour out."""
    drawn = image.copy()
    for index, mask in enumerate(masks):
        if mask is None:
            continue
        color = object_color(index)
        drawn[mask] = (drawn[mask] * (1.0 - opacity) + np.array(color) * opacity).astype(np.uint8)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, contours, -1, color, 1, cv2.LINE_AA)
    return drawn


def draw_detections(image: Image, detections: Sequence[Detection]) -> Image:
    """Return a copy with every box, its query and its score."""
    boxes = np.array([detection.box_xyxy_px for detection in detections])
    return draw_boxes(image, boxes, [f"{d.query}  {d.score:.2f}" for d in detections])


def draw_boxes(image: Image, boxes_xyxy_px: Float[np.ndarray, "n 4"], labels: Sequence[str]) -> Image:
    """Return a copy with a labelled box around every object."""
    drawn, tags = image.copy(), []
    for index, (box, text) in enumerate(zip(boxes_xyxy_px, labels, strict=True)):
        rect = frame_of(image, box)
        draw_solid(drawn, rect, object_color(index))
        tags.append(Label(text, rect, object_color(index)))
    return draw_labels(drawn, tags, [tag.around for tag in tags])


def frame_of(image: Image, box_xyxy_px: Float[np.ndarray, "4"]) -> Rect:
    """Return where the lines of a box are drawn.

    Around the object, not on it: a button of 20 px would vanish below its own frame.
    """
    gap = 2 * stroke(image) + 1
    x0, y0, x1, y1 = (round(float(v)) for v in np.clip(box_xyxy_px, -10_000, 10_000))
    return x0 - gap, y0 - gap, x1 + gap, y1 + gap


def draw_solid(drawn: Image, rect: Rect, color: Color) -> None:
    """Draw a chosen object's frame in place."""
    thick, corners = stroke(drawn), (rect[:2], (rect[2] - 1, rect[3] - 1))
    cv2.rectangle(drawn, *corners, INK, thick + 2, cv2.LINE_AA)
    cv2.rectangle(drawn, *corners, color, thick, cv2.LINE_AA)


def draw_dashed(drawn: Image, rect: Rect, color: Color) -> None:
    """Draw a rival's frame in place, thin and dashed, cut to the image so that its sides stay in view."""
    left, top = max(0, rect[0]), max(0, rect[1])
    right, bottom = min(drawn.shape[1], rect[2]) - 1, min(drawn.shape[0], rect[3]) - 1
    dash = 4 * stroke(drawn)
    for ink, width in ((INK, 3), (color, 1)):
        for x in range(left, right, 2 * dash):
            for y in (top, bottom):
                cv2.line(drawn, (x, y), (min(x + dash, right), y), ink, width)
        for y in range(top, bottom, 2 * dash):
            for x in (left, right):
                cv2.line(drawn, (x, y), (x, min(y + dash, bottom)), ink, width)
