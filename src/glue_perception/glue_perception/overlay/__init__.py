"""The pictures people see: boxes, masks, key-patches, status and the predicted path, drawn on copies of a frame."""

from glue_perception.overlay.boxes import draw_boxes, draw_detections, draw_masks
from glue_perception.overlay.insets import draw_insets
from glue_perception.overlay.key_patches import draw_grid, draw_key_patches, draw_points, health_line
from glue_perception.overlay.path import draw_path
from glue_perception.overlay.pictures import draw_preflight, draw_tracking
from glue_perception.overlay.status import draw_status
from glue_perception.overlay.style import HEALTH_COLORS, OBJECT_COLORS

__all__ = [
    "HEALTH_COLORS",
    "OBJECT_COLORS",
    "draw_boxes",
    "draw_detections",
    "draw_grid",
    "draw_insets",
    "draw_key_patches",
    "draw_masks",
    "draw_path",
    "draw_points",
    "draw_preflight",
    "draw_status",
    "draw_tracking",
    "health_line",
]
