"""The embedded profile's pixel features: CIELAB colour and position. No weights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from glue_perception.color import lab_from_rgb
from glue_perception.errors import ConfigError

_LAB_SCALE = 50.0
"""A difference of 50 in CIELAB (black to mid grey, red to orange) weighs as much as 1 in the other channels."""


class LabPositionEncoder:
    """Describes a pixel by colour and place, so that clusters are parts of an object: same colour, near each other.

    Args:
        position_weight: Weight of position, where 1 is the object's longer side, against colour. 2 spreads
            the points over an object of one colour and still keeps a marking apart from its ground.

    Raises:
        ConfigError: the weight is negative or not finite.
    """

    def __init__(self, position_weight: float = 2.0) -> None:
        if not 0.0 <= position_weight < np.inf:
            raise ConfigError(f"position_weight must be finite and not negative, not {position_weight}")
        self._position_weight = position_weight
        self.max_pixels: int | None = None

    def encode(
        self, rgb: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"]
    ) -> Float[np.ndarray, "pixels 5"]:
        """Return (L, a, b, x, y), scaled, of the masked pixels in row-major order; an empty mask gives none."""
        row_col = np.argwhere(mask)
        if len(row_col) == 0:
            return np.zeros((0, 5), np.float32)
        y0, x0 = row_col.min(axis=0)
        y1, x1 = row_col.max(axis=0) + 1
        lab = lab_from_rgb(rgb[y0:y1, x0:x1])[mask[y0:y1, x0:x1]] / _LAB_SCALE
        # By the object's own size, not the image's: a button of 20 px is divided as finely as a towel.
        xy = (row_col[:, ::-1] - [x0, y0]) / max(x1 - x0, y1 - y0) * self._position_weight
        return np.hstack([lab, xy]).astype(np.float32)
