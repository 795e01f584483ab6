"""Key-patches: the 28 x 28 grid, the cells and the points, coloured by health."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Int

from glue_perception.overlay.style import HEALTH_COLORS, INK, WHITE, Image, pixel, stroke
from glue_perception.types import GRID_SIZE, KeyPatches, TrackHealth


def draw_grid(image: Image, opacity: float = 0.13) -> Image:
    """Return a copy with the lines of the 28 x 28 grid."""
    height, width = image.shape[:2]
    lines = image.copy()
    for k in range(1, GRID_SIZE):
        x, y = round(k * width / GRID_SIZE), round(k * height / GRID_SIZE)
        cv2.line(lines, (x, 0), (x, height), WHITE, 1)
        cv2.line(lines, (0, y), (width, y), WHITE, 1)
    blended: np.ndarray = cv2.addWeighted(lines, opacity, image, 1.0 - opacity, 0.0)
    return blended


def draw_points(
    image: Image, xy_px: Float[np.ndarray, "n 2"], health: Int[np.ndarray, "n"] | None = None
) -> Image:
    """Return a copy with every point as a dot coloured by its health (all tracked if None).

    Seen points are full dots, occluded ones rings, lost ones crosses, so that no reader depends on colour.
    """
    drawn = image.copy()
    radius = max(2, round(2.5 * stroke(image)))
    states = np.zeros(len(xy_px), int) if health is None else health
    # What is seen comes last, on top.
    for index in np.argsort(-states, kind="stable"):
        draw_dot(drawn, xy_px[index], TrackHealth(int(states[index])), radius)
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
        corners = cell_corners(row, col, width, height)
        cv2.rectangle(tint, *corners, HEALTH_COLORS[health], cv2.FILLED)
    drawn = cv2.addWeighted(tint, 0.28, drawn, 0.72, 0.0)
    for (row, col), health in cells.items():
        cv2.rectangle(drawn, *cell_corners(row, col, width, height), HEALTH_COLORS[health], 1, cv2.LINE_AA)
    return draw_points(drawn, key_patches.xy_px, key_patches.health)


def health_line(key_patches: KeyPatches) -> str:
    """Return the counts by health in one line, e.g. "12 tracked  2 occluded  1 lost"."""
    counts = {state: int(np.sum(key_patches.health == state)) for state in TrackHealth}
    return "  ".join(f"{count} {state.name.lower()}" for state, count in counts.items())


def draw_dot(image: Image, xy_px: Float[np.ndarray, "2"], health: TrackHealth, radius: int) -> None:
    """Draw one point in place: a full dot, a ring or a cross by its health."""
    color, at = HEALTH_COLORS[health], pixel(xy_px)
    if health is TrackHealth.TRACKED:
        cv2.circle(image, at, radius + 1, INK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(image, at, radius, color, cv2.FILLED, cv2.LINE_AA)
    elif health is TrackHealth.OCCLUDED:
        cv2.circle(image, at, radius + 1, INK, 3, cv2.LINE_AA)
        cv2.circle(image, at, radius + 1, color, 1, cv2.LINE_AA)
    else:
        cv2.drawMarker(image, at, INK, cv2.MARKER_TILTED_CROSS, 2 * radius + 3, 3, cv2.LINE_AA)
        cv2.drawMarker(image, at, color, cv2.MARKER_TILTED_CROSS, 2 * radius + 3, 1, cv2.LINE_AA)


def cell_corners(row: int, col: int, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the upper left and the lower right corner of a grid cell in px."""
    return (
        (round(col * width / GRID_SIZE), round(row * height / GRID_SIZE)),
        (round((col + 1) * width / GRID_SIZE), round((row + 1) * height / GRID_SIZE)),
    )
