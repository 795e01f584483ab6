"""What every segmenter is: boxes in, one mask per box out (paper, III-B 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Bool, UInt8

from glue_perception.types import Detection


class Segmenter(Protocol):
    """Cuts the object out of each box. Stateless and deterministic."""

    def segment(
        self, rgb: UInt8[np.ndarray, "height width 3"], detections: Sequence[Detection]
    ) -> Bool[np.ndarray, "objects height width"]:
        """Return one mask per detection.

        Raises:
            QueryError: a mask is empty; the message names the query.
        """
        ...
