"""What every feature encoder is: an image and a mask in, one vector per masked pixel out (paper, III-B 2)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, UInt8


class FeatureEncoder(Protocol):
    """Describes pixels so that K-means can group them. Only masked pixels are described, to bound memory.

    Attributes:
        max_pixels: A larger mask is thinned out before it is described (`keypoint_extractor.thinned`), because the
            vectors are long; None where they are not.
    """

    max_pixels: int | None

    def encode(
        self, rgb: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"]
    ) -> Float[np.ndarray, "pixels channels"]:
        """Return features of the masked pixels in row-major order (that of `np.argwhere(mask)`)."""
        ...
