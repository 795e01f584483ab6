"""Pinhole intrinsics assumed from a field of view, where no calibration is known."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from glue_perception.errors import ConfigError

DEFAULT_FIELD_OF_VIEW_DEG = 69.0
"""Horizontal, of a RealSense D435's colour camera (data sheet)."""


def intrinsics_from_field_of_view(
    width_px: int, height_px: int, horizontal_deg: float = DEFAULT_FIELD_OF_VIEW_DEG
) -> Float[np.ndarray, "3 3"]:
    """Return K [px] with square pixels and the principal point in the middle of the image.

    Raises:
        ConfigError: the field of view is not between 1 and 179 degrees.
    """
    if not 1.0 <= horizontal_deg <= 179.0:
        raise ConfigError(f"the horizontal field of view must lie in 1..179 degrees, not {horizontal_deg}")
    focal_px = width_px / 2.0 / np.tan(np.radians(horizontal_deg) / 2.0)
    return np.array([[focal_px, 0, (width_px - 1) / 2], [0, focal_px, (height_px - 1) / 2], [0, 0, 1]])
