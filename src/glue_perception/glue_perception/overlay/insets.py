"""Small objects magnified in a free corner."""

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
    """Return a copy with every small object magnified in a free corner, its points on it, and where the insets are.

    Args:
        image: The picture drawn so far.
        source: The camera's own picture, from which the magnified part is taken.
        boxes_xyxy_px: Where the objects are now.
        points: Key-patches to draw in the insets, or None.
        obstacles: What else no inset should cover.
        query_indices: Which query each box belongs to; None: 0, 1, 2, ...
        masks: Of each box, to be outlined in its inset; empty for none at all.
    """
    drawn, places = image.copy(), []
    height, width = image.shape[:2]
    side = round(0.24 * min(height, width))
    small = [k for k, box in enumerate(boxes_xyxy_px) if _extent(box) <= _BELOW_SHARE * width]
    # No more than fit beside the status text.
    small = small[: max(0, (width * 2 // 3) // (side + _GAP_PX))]
    occupied = [*(_rect(box) for box in boxes_xyxy_px), *obstacles]
    top, left = _free_corner(occupied, len(small) * (side + _GAP_PX), side + _GAP_PX, width, height)
    for place, index in enumerate(small):
        corner = left + place * (side + _GAP_PX) + _GAP_PX // 2
        query = index if query_indices is None else query_indices[index]
        inset = _inset(source, boxes_xyxy_px[index], side, points, query, masks[index] if masks else None)
        drawn[top : top + side, corner : corner + side] = inset
        rect = (corner - 1, top - 1, corner + side + 1, top + side + 1)
        frame = rect[:2], (rect[2] - 1, rect[3] - 1)
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


def _free_corner(
    occupied: Sequence[Rect], strip_width: int, strip_height: int, width: int, height: int
) -> tuple[int, int]:
    """Return top and left of a strip for the insets that covers least: lower right, lower left, upper right."""
    right, low = width - strip_width, height - strip_height
    corners = [(low, right), (low, 0), (0, right)]
    covered = [
        common_area((left, top, left + strip_width, top + strip_height), occupied) for top, left in corners
    ]
    top, left = corners[int(np.argmin(covered))]
    return max(0, top) + _GAP_PX // 2, left


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
