"""Small objects magnified where nothing else is."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from glue_perception.overlay.key_patches import draw_dot
from glue_perception.overlay.style import INK, Image, Rect, common_area, object_color
from glue_perception.types import KeyPatches, TrackHealth

_BELOW_SHARE = 0.12
"""An object narrower than this share of the image gets a magnified inset."""
_GAP_PX = 8


def draw_insets(
    image: Image,
    source: Image,
    boxes_xyxy_px: Float[np.ndarray, "n 4"],
    points: KeyPatches | None = None,
    obstacles: Sequence[Rect] = (),
    query_indices: Sequence[int] | None = None,
    masks: Sequence[Bool[np.ndarray, "height width"] | None] = (),
) -> tuple[Image, list[Rect]]:
    """Return a copy with every small object magnified at a free place, its points on it, and where the insets are.

    Where no place at the edge of the image is free, an inset is left out: it must not hide an object.

    Args:
        image: The picture drawn so far.
        source: The camera's own picture, from which the magnified part is taken.
        boxes_xyxy_px: Where the objects are now.
        points: Key-patches to draw in the insets, or None.
        obstacles: What else no inset should cover.
        query_indices: Which query each box belongs to; None: 0, 1, 2, ...
        masks: Of each box, to be outlined in its inset; empty for none at all.
    """
    drawn, places = image.copy(), list[Rect]()
    height, width = image.shape[:2]
    side = round(0.24 * min(height, width))
    occupied = [*(_rect(box) for box in boxes_xyxy_px), *obstacles]
    for index, box in enumerate(boxes_xyxy_px):
        if _extent(box) > _BELOW_SHARE * width:
            continue
        rect = _free_place(side + _GAP_PX, width, height, [*occupied, *places])
        if rect is None:
            continue
        left, top = rect[0] + _GAP_PX // 2, rect[1] + _GAP_PX // 2
        query = index if query_indices is None else query_indices[index]
        inset = _inset(source, box, side, points, query, masks[index] if masks else None)
        drawn[top : top + side, left : left + side] = inset
        frame = (left - 1, top - 1), (left + side, top + side)
        cv2.rectangle(drawn, *frame, INK, 3, cv2.LINE_AA)
        cv2.rectangle(drawn, *frame, object_color(query), 1, cv2.LINE_AA)
        places.append(rect)
    return drawn, places


def _inset(
    source: Image,
    box: Float[np.ndarray, "4"],
    side: int,
    points: KeyPatches | None,
    query: int,
    mask: Bool[np.ndarray, "height width"] | None,
) -> Image:
    zoom = side / (1.8 * max(_extent(box), 12.0))
    # The magnified part stays inside the image.
    middle = np.array([box[0] + box[2] - 1, box[1] + box[3] - 1]) / 2.0
    half = side / zoom / 2.0
    size = np.array([source.shape[1], source.shape[0]])
    centre = np.clip(middle, half, np.maximum(half, size - 1 - half))
    inset = _magnified(source, centre, zoom, side)
    if mask is not None:
        soft = _magnified(mask.astype(np.uint8) * 255, centre, zoom, side)
        contours, _ = cv2.findContours(
            (soft > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(inset, contours, -1, object_color(query), 1, cv2.LINE_AA)
    if points is None:
        return inset
    mine = points.query_index == query
    return _inset_points(inset, (points.xy_px[mine] - centre) * zoom + side / 2, points.health[mine])


def _extent(box_xyxy_px: Float[np.ndarray, "4"]) -> float:
    return float(max(box_xyxy_px[2] - box_xyxy_px[0], box_xyxy_px[3] - box_xyxy_px[1]))


def _rect(box_xyxy_px: Float[np.ndarray, "4"]) -> Rect:
    x0, y0, x1, y1 = (round(float(v)) for v in np.clip(box_xyxy_px, -10_000, 10_000))
    return x0, y0, x1, y1


def _free_place(side: int, width: int, height: int, occupied: Sequence[Rect]) -> Rect | None:
    """Return a free square at the edge of the image: along the bottom from the right, the top, then the sides."""
    columns, rows = range(width - side, -1, -side), range(height - side, -1, -side)
    corners = [(x, height - side) for x in columns] + [(x, 0) for x in columns]
    corners += [(x, y) for x in (width - side, 0) for y in rows]
    for x, y in corners:
        place = (x, y, x + side, y + side)
        if common_area(place, occupied) == 0:
            return place
    return None


def _magnified(source: np.ndarray, centre: Float[np.ndarray, "2"], zoom: float, side: int) -> np.ndarray:
    M = np.array([[zoom, 0, side / 2 - zoom * centre[0]], [0, zoom, side / 2 - zoom * centre[1]]])
    inset: np.ndarray = cv2.warpAffine(
        source, M, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return inset


def _inset_points(inset: Image, xy_px: Float[np.ndarray, "n 2"], health: Int[np.ndarray, "n"]) -> Image:
    for xy, state in zip(xy_px, health, strict=True):
        if np.all((xy >= 0) & (xy < inset.shape[0])):
            draw_dot(inset, xy, TrackHealth(int(state)), max(3, inset.shape[0] // 32))
    return inset
