"""What every detector is: text queries in, one box per query out (paper, III-B 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from glue_perception.types import Detection


class Detector(Protocol):
    """Finds named objects in an image. Stateless and deterministic."""

    def detect(self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]) -> list[Detection]:
        """Return exactly one detection per query, in the order of the queries.

        Raises:
            QueryError: a query is empty, not understood, matches nothing or is ambiguous; the message says which.
        """
        ...
