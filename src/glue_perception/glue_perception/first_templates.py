"""How like its points a frame looks to what they looked like when they were chosen, for trackers that do not say."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from glue_perception.trackers.patch_template import PatchSampler
from glue_perception.types import CameraFrame


class FirstTemplates:
    """The patch of every point in the frame in which it was chosen. Never adapted, so that it cannot be led astray.

    Args:
        frame: The episode's first.
        xy_px: The points in it.
    """

    def __init__(self, frame: CameraFrame, xy_px: Float[np.ndarray, "n 2"]) -> None:
        self._sampler = PatchSampler(max(1.0, min(frame.rgb.shape[:2]) / 480.0))
        self._templates = self._sampler.sample(frame.rgb, xy_px)

    def similarity(self, frame: CameraFrame, xy_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
        """Return 0..1 per point; see `PatchSampler.similarity`."""
        return self._sampler.similarity(self._sampler.sample(frame.rgb, xy_px), self._templates)

    def replace(
        self, frame: CameraFrame, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> None:
        """Remember points anew that were chosen again, at `xy_px` in `frame`."""
        self._templates = self._templates.replaced(index, self._sampler.sample(frame.rgb, xy_px))
