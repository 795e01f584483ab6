"""Whole pictures: what a preflight found, and how an episode goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from glue_perception.key_patches import key_patches_of_keypoints
from glue_perception.overlay.boxes import draw_dashed, draw_masks, draw_solid, frame_of
from glue_perception.overlay.insets import draw_insets
from glue_perception.overlay.key_patches import cell_corners, draw_grid, draw_key_patches, health_line
from glue_perception.overlay.labels import Label, draw_labels
from glue_perception.overlay.status import StatusLine, StatusStrip
from glue_perception.overlay.style import AMBER, INK, RED, Image, Rect, object_color
from glue_perception.preflight import ObjectFinding, Preflight
from glue_perception.types import CameraFrame, Detection, KeyPatches

_MAX_RIVALS = 4
_MIN_RIVAL_SHARE = 0.25
"""Weaker candidates, compared with the best one, stand in the report only; a picture of all would show none."""


def draw_preflight(frame: CameraFrame, preflight: Preflight) -> Image:
    """Return the first frame with all that was found in it, accepted or refused.

    Chosen objects have a solid box with query and score, a tinted mask, and a magnified inset if they are small;
    rival candidates a thin dashed box with their score. Refusals (red) and warnings (amber) stand in words on a strip
    at the top, or at the bottom where an object lies below the strip. The 28 x 28 grid is drawn always, cells and
    keypoints where the preflight placed them.
    """
    points = None
    image = draw_masks(frame.rgb, [found.mask for found in preflight.objects])
    if preflight.keypoints is not None:
        points = key_patches_of_keypoints(
            preflight.keypoints, frame.stamp_ns, frame.width_px, frame.height_px
        )
        image = draw_key_patches(image, points)
    else:
        image = draw_grid(image)
    labels, solid = _frames(image, preflight)
    objects = solid + (_cells(points, frame) if points is not None else [])
    strip = StatusStrip(image, _lines(preflight, points), objects)
    image = strip.draw(image)
    shown = [(index, box) for index, found in enumerate(preflight.objects) for box in _looked_at(found)]
    boxes = np.array([detection.box_xyxy_px for _, detection in shown]).reshape(-1, 4)
    indices = [index for index, _ in shown]
    masks = [preflight.objects[index].mask for index in indices]
    image, insets = draw_insets(image, frame.rgb, boxes, points, [*objects, strip.rect], indices, masks)
    return draw_labels(image, labels, [*objects, strip.rect, *insets])


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
    rects = [frame_of(image, box) for box in boxes]
    for index, rect in enumerate(rects):
        draw_solid(image, rect, object_color(index))
    strip = StatusStrip(image, [", ".join(queries), health_line(key_patches), *lines])
    image, insets = draw_insets(strip.draw(image), frame.rgb, boxes, key_patches, [strip.rect])
    labels = [
        Label(query, rect, object_color(k))
        for k, (query, rect) in enumerate(zip(queries, rects, strict=True))
    ]
    return draw_labels(image, labels, [*rects, strip.rect, *insets])


def _frames(image: Image, preflight: Preflight) -> tuple[list[Label], list[Rect]]:
    """Draw all boxes in place; return their labels, chosen ones first, and what no label should cover."""
    chosen_labels, rival_labels, solid = [], [], []
    for index, found in enumerate(preflight.objects):
        color = object_color(index)
        rivals = _shown_rivals(found)
        for rank, rival in enumerate(rivals):
            rect = frame_of(image, rival.box_xyxy_px)
            draw_dashed(image, rect, color)
            unsure = rank == 0 and found.chosen is None
            text = f"{found.query}?  {rival.score:.2f}" if unsure else f"{rival.score:.2f}"
            rival_labels.append(Label(text, rect, INK, color))
            if found.chosen is None:
                solid.append(rect)
        if found.chosen is not None:
            rect = frame_of(image, found.chosen.box_xyxy_px)
            draw_solid(image, rect, color)
            chosen_labels.append(Label(f"{found.query}  {found.chosen.score:.2f}", rect, color))
            solid.append(rect)
    return chosen_labels + rival_labels, solid


def _shown_rivals(found: ObjectFinding) -> list[Detection]:
    return [c for c in found.rivals if c.score >= _MIN_RIVAL_SHARE * found.candidates[0].score][:_MAX_RIVALS]


def _looked_at(found: ObjectFinding) -> list[Detection]:
    """Return what is worth magnifying: the chosen object, or the two best where none was chosen."""
    return [found.chosen] if found.chosen is not None else _shown_rivals(found)[:2]


def _lines(preflight: Preflight, points: KeyPatches | None) -> list[StatusLine]:
    lines = [
        StatusLine(f"REFUSED ({r.reason.replace('_', ' ')}): {r.message}", RED) for r in preflight.refusals
    ]
    if points is not None:
        cells = len(np.unique(points.row_col, axis=0))
        objects = len(preflight.objects)
        lines.append(
            StatusLine(
                f"{len(points)} keypoints in {cells} cells on {objects} object{'s' if objects > 1 else ''}"
            )
        )
    return lines + [StatusLine(f"warning: {w.message}", AMBER) for w in preflight.warnings]


def _cells(points: KeyPatches, frame: CameraFrame) -> list[Rect]:
    cells = np.unique(points.row_col, axis=0)
    corners = [cell_corners(row, col, frame.width_px, frame.height_px) for row, col in cells]
    return [(*low, *high) for low, high in corners]


def _box_around(key_patches: KeyPatches, query_index: int) -> Float[np.ndarray, "4"]:
    """Return the box around an object's points: its seen ones, or all where none is seen."""
    mine = key_patches.query_index == query_index
    seen = mine & key_patches.visible
    xy = key_patches.xy_px[seen if seen.any() else mine]
    box: np.ndarray = np.concatenate([xy.min(axis=0), xy.max(axis=0) + 1.0])
    return box
