"""The picture people see: boxes, masks, key-patches, status and the predicted path, drawn on a copy of a frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.keypoint_extractor import Extraction
from glue_perception.types import GRID_SIZE, CameraFrame, Detection, KeyPatches, TrackHealth

Color = tuple[int, int, int]
Image = UInt8[np.ndarray, "height width 3"]

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
_WHITE: Color = (255, 255, 255)
_INK: Color = (18, 20, 24)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INSET_BELOW_SHARE = 0.12
"""An object narrower than this share of the image gets a magnified inset."""
_INSET_GAP_PX = 8


def draw_extraction(frame: CameraFrame, extraction: Extraction, key_patches: KeyPatches) -> Image:
    """Return the first frame with all that was found in it: masks, cells, points, boxes, insets, counts."""
    image = draw_masks(frame.rgb, extraction.masks)
    image = draw_key_patches(image, key_patches)
    image = draw_detections(image, extraction.detections)
    boxes = np.array([detection.box_xyxy_px for detection in extraction.detections])
    image = draw_insets(image, frame.rgb, boxes, key_patches)
    objects = len(extraction.detections)
    count = f"{len(key_patches)} key-patches on {objects} object{'s' if objects > 1 else ''}"
    return draw_status(image, [count])


def draw_tracking(
    frame: CameraFrame, key_patches: KeyPatches, queries: Sequence[str], lines: Sequence[str] = ()
) -> Image:
    """Return a later frame with boxes around the points of each object, key-patches, insets, and the tracks' state.

    Args:
        frame: The frame that the key-patches are of.
        key_patches: Of `frame`.
        queries: One per object.
        lines: More status text, e.g. time and latency.
    """
    image = draw_key_patches(frame.rgb, key_patches)
    boxes = np.array([_box_around(key_patches, index) for index in range(len(queries))])
    image = draw_boxes(image, boxes, queries)
    image = draw_insets(image, frame.rgb, boxes, key_patches)
    return draw_status(image, [", ".join(queries), health_line(key_patches), *lines])


def draw_masks(image: Image, masks: Bool[np.ndarray, "objects height width"], opacity: float = 0.35) -> Image:
    """Return a copy with every object tinted in its colour and outlined."""
    drawn = image.copy()
    for index, mask in enumerate(masks):
        color = OBJECT_COLORS[index % len(OBJECT_COLORS)]
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
    drawn = image.copy()
    thick = _stroke(image)
    for index, (box, label) in enumerate(zip(boxes_xyxy_px, labels, strict=True)):
        color = OBJECT_COLORS[index % len(OBJECT_COLORS)]
        x0, y0, x1, y1 = (round(float(v)) for v in box)
        # Around the object, not on it: a button of 20 px would vanish below its own frame.
        gap = 2 * thick + 1
        cv2.rectangle(drawn, (x0 - gap, y0 - gap), (x1 - 1 + gap, y1 - 1 + gap), _INK, thick + 2, cv2.LINE_AA)
        cv2.rectangle(drawn, (x0 - gap, y0 - gap), (x1 - 1 + gap, y1 - 1 + gap), color, thick, cv2.LINE_AA)
        _label(drawn, label, (x0 - gap, y0 - gap), color)
    return drawn


def draw_grid(image: Image, opacity: float = 0.13) -> Image:
    """Return a copy with the lines of the 28 x 28 grid."""
    height, width = image.shape[:2]
    lines = image.copy()
    for k in range(1, GRID_SIZE):
        x, y = round(k * width / GRID_SIZE), round(k * height / GRID_SIZE)
        cv2.line(lines, (x, 0), (x, height), _WHITE, 1)
        cv2.line(lines, (0, y), (width, y), _WHITE, 1)
    blended: np.ndarray = cv2.addWeighted(lines, opacity, image, 1.0 - opacity, 0.0)
    return blended


def draw_points(
    image: Image, xy_px: Float[np.ndarray, "n 2"], health: Int[np.ndarray, "n"] | None = None
) -> Image:
    """Return a copy with every point as a dot coloured by its health (all tracked if None).

    Seen points are full dots, occluded ones rings, lost ones crosses, so that no reader depends on colour.
    """
    drawn = image.copy()
    radius = max(2, round(2.5 * _stroke(image)))
    states = np.zeros(len(xy_px), int) if health is None else health
    # What is seen comes last, on top.
    for index in np.argsort(-states, kind="stable"):
        _dot(drawn, xy_px[index], TrackHealth(int(states[index])), radius)
    return drawn


def draw_key_patches(image: Image, key_patches: KeyPatches) -> Image:
    """Return a copy with the grid, the key-patches' cells and their points, coloured by health."""
    height, width = image.shape[:2]
    drawn = draw_grid(image)
    cells: dict[tuple[int, int], TrackHealth] = {}
    for (row, col), state in zip(key_patches.row_col.tolist(), key_patches.health.tolist(), strict=True):
        # A cell with one seen point is seen.
        cells[row, col] = TrackHealth(min(cells.get((row, col), TrackHealth.LOST), state))
    tint = drawn.copy()
    for (row, col), health in cells.items():
        corners = _cell(row, col, width, height)
        cv2.rectangle(tint, *corners, HEALTH_COLORS[health], cv2.FILLED)
    drawn = cv2.addWeighted(tint, 0.28, drawn, 0.72, 0.0)
    for (row, col), health in cells.items():
        cv2.rectangle(drawn, *_cell(row, col, width, height), HEALTH_COLORS[health], 1, cv2.LINE_AA)
    return draw_points(drawn, key_patches.xy_px, key_patches.health)


def draw_path(image: Image, xy_px: Float[np.ndarray, "horizon 2"]) -> Image:
    """Return a copy with a predicted action chunk as a line from cyan (now) to magenta (last).

    Args:
        image: The frame.
        xy_px: Where the actions' positions project to; actions with NaN (behind the camera) are left out.
    """
    drawn = image.copy()
    known = xy_px[np.isfinite(xy_px).all(axis=1)]
    thick = _stroke(image)
    for width, ink in ((thick + 3, True), (thick + 1, False)):
        for k in range(len(known) - 1):
            part = k / max(1, len(known) - 2)
            color = _INK if ink else (round(40 + 215 * part), round(210 - 150 * part), round(255 - 45 * part))
            cv2.line(drawn, _pixel(known[k]), _pixel(known[k + 1]), color, width, cv2.LINE_AA)
    if len(known):
        cv2.circle(drawn, _pixel(known[-1]), 3 * thick, (255, 60, 210), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(drawn, _pixel(known[-1]), 3 * thick, _INK, 1, cv2.LINE_AA)
    return drawn


def draw_status(image: Image, lines: Sequence[str]) -> Image:
    """Return a copy with lines of text on a dark strip at the top left."""
    drawn = image.copy()
    if not lines:
        return drawn
    scale = _text_scale(image)
    sizes = [cv2.getTextSize(line, _FONT, scale, 1)[0] for line in lines]
    line_height = round(1.75 * max(size[1] for size in sizes))
    pad = line_height // 2
    width = min(drawn.shape[1], max(size[0] for size in sizes) + 2 * pad)
    height = min(drawn.shape[0], line_height * len(lines) + pad)
    panel = drawn[:height, :width]
    drawn[:height, :width] = (panel * 0.28 + np.array(_INK) * 0.72).astype(np.uint8)
    for k, line in enumerate(lines):
        at = (pad, (k + 1) * line_height - pad // 4)
        cv2.putText(drawn, line, at, _FONT, scale, _WHITE, 1, cv2.LINE_AA)
    return drawn


def draw_insets(
    image: Image, source: Image, boxes_xyxy_px: Float[np.ndarray, "n 4"], points: KeyPatches | None = None
) -> Image:
    """Return a copy with every small object magnified in a free corner, its points on it.

    Args:
        image: The picture drawn so far.
        source: The camera's own picture, from which the magnified part is taken.
        boxes_xyxy_px: Where the objects are now.
        points: Key-patches to draw in the insets, or None.
    """
    drawn = image.copy()
    height, width = image.shape[:2]
    side = round(0.24 * min(height, width))
    small = [k for k, box in enumerate(boxes_xyxy_px) if _extent(box) <= _INSET_BELOW_SHARE * width]
    # No more than fit beside the status text.
    small = small[: max(0, (width * 2 // 3) // (side + _INSET_GAP_PX))]
    top, left = _free_corner(
        boxes_xyxy_px, len(small) * (side + _INSET_GAP_PX), side + _INSET_GAP_PX, width, height
    )
    for place, index in enumerate(small):
        corner = left + place * (side + _INSET_GAP_PX) + _INSET_GAP_PX // 2
        box = boxes_xyxy_px[index]
        zoom = side / (1.8 * max(_extent(box), 12.0))
        # The magnified part stays inside the image.
        middle = np.array([box[0] + box[2] - 1, box[1] + box[3] - 1]) / 2.0
        half = side / zoom / 2.0
        centre = np.clip(middle, half, np.maximum(half, np.array([width, height]) - 1 - half))
        inset = _magnified(source, centre, zoom, side)
        if points is not None:
            mine = points.query_index == index
            inset = _inset_points(inset, (points.xy_px[mine] - centre) * zoom + side / 2, points.health[mine])
        drawn[top : top + side, corner : corner + side] = inset
        frame = (corner - 1, top - 1), (corner + side, top + side)
        cv2.rectangle(drawn, *frame, _INK, 3, cv2.LINE_AA)
        cv2.rectangle(drawn, *frame, OBJECT_COLORS[index % len(OBJECT_COLORS)], 1, cv2.LINE_AA)
    return drawn


def _extent(box_xyxy_px: Float[np.ndarray, "4"]) -> float:
    return float(max(box_xyxy_px[2] - box_xyxy_px[0], box_xyxy_px[3] - box_xyxy_px[1]))


def _free_corner(
    boxes_xyxy_px: Float[np.ndarray, "n 4"], strip_width: int, strip_height: int, width: int, height: int
) -> tuple[int, int]:
    """Return top and left of a strip for the insets that covers no object: lower right, lower left, upper right."""
    right, low = width - strip_width, height - strip_height
    for top, left in ((low, right), (low, 0), (0, right)):
        apart = (
            (boxes_xyxy_px[:, 2] < left)
            | (boxes_xyxy_px[:, 0] > left + strip_width)
            | (boxes_xyxy_px[:, 3] < top)
            | (boxes_xyxy_px[:, 1] > top + strip_height)
        )
        if apart.all():
            return max(0, top) + _INSET_GAP_PX // 2, left
    return low + _INSET_GAP_PX // 2, right


def health_line(key_patches: KeyPatches) -> str:
    """Return the counts by health in one line, e.g. "12 tracked  2 occluded  1 lost"."""
    counts = {state: int(np.sum(key_patches.health == state)) for state in TrackHealth}
    return "  ".join(f"{count} {state.name.lower()}" for state, count in counts.items())


def _box_around(key_patches: KeyPatches, query_index: int) -> Float[np.ndarray, "4"]:
    """Return the box around an object's points: its seen ones, or all where none is seen."""
    mine = key_patches.query_index == query_index
    seen = mine & key_patches.visible
    xy = key_patches.xy_px[seen if seen.any() else mine]
    box: np.ndarray = np.concatenate([xy.min(axis=0), xy.max(axis=0) + 1.0])
    return box


def _magnified(source: Image, centre: Float[np.ndarray, "2"], zoom: float, side: int) -> Image:
    M = np.array([[zoom, 0, side / 2 - zoom * centre[0]], [0, zoom, side / 2 - zoom * centre[1]]])
    inset: np.ndarray = cv2.warpAffine(
        source, M, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return inset


def _inset_points(inset: Image, xy_px: Float[np.ndarray, "n 2"], health: Int[np.ndarray, "n"]) -> Image:
    for xy, state in zip(xy_px, health, strict=True):
        if np.all((xy >= 0) & (xy < inset.shape[0])):
            _dot(inset, xy, TrackHealth(int(state)), max(3, inset.shape[0] // 32))
    return inset


def _dot(image: Image, xy_px: Float[np.ndarray, "2"], health: TrackHealth, radius: int) -> None:
    color, at = HEALTH_COLORS[health], _pixel(xy_px)
    if health is TrackHealth.TRACKED:
        cv2.circle(image, at, radius + 1, _INK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(image, at, radius, color, cv2.FILLED, cv2.LINE_AA)
    elif health is TrackHealth.OCCLUDED:
        cv2.circle(image, at, radius + 1, _INK, 3, cv2.LINE_AA)
        cv2.circle(image, at, radius + 1, color, 1, cv2.LINE_AA)
    else:
        cv2.drawMarker(image, at, _INK, cv2.MARKER_TILTED_CROSS, 2 * radius + 3, 3, cv2.LINE_AA)
        cv2.drawMarker(image, at, color, cv2.MARKER_TILTED_CROSS, 2 * radius + 3, 1, cv2.LINE_AA)


def _label(image: Image, text: str, corner: tuple[int, int], color: Color) -> None:
    """Draw text on a filled tag above a corner, pushed back into the image where it would leave it."""
    scale = _text_scale(image)
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    pad = max(3, height // 3)
    x = int(np.clip(corner[0], 0, max(0, image.shape[1] - width - 2 * pad)))
    y = int(np.clip(corner[1] - pad, height + 2 * pad, image.shape[0] - 1))
    cv2.rectangle(image, (x, y - height - 2 * pad), (x + width + 2 * pad, y), color, cv2.FILLED)
    cv2.putText(image, text, (x + pad, y - pad), _FONT, scale, _INK, 1, cv2.LINE_AA)


def _cell(row: int, col: int, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (
        (round(col * width / GRID_SIZE), round(row * height / GRID_SIZE)),
        (round((col + 1) * width / GRID_SIZE), round((row + 1) * height / GRID_SIZE)),
    )


def _pixel(xy_px: Float[np.ndarray, "2"]) -> tuple[int, int]:
    # Bounded, as OpenCV refuses coordinates beyond 16 bits.
    x, y = np.clip(xy_px, -10_000, 10_000)
    return round(float(x)), round(float(y))


def _stroke(image: Image) -> int:
    return max(1, round(int(min(image.shape[:2])) / 480))


def _text_scale(image: Image) -> float:
    return max(0.35, 0.45 * int(min(image.shape[:2])) / 480)
