"""Where points lie while nothing moves them: the hypothesis that a tracker has to refute before it moves a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.trackers.camera_motion import CameraMotion
from glue_perception.trackers.patch_template import PatchSampler, PatchTemplates

CONTEXT_SCALE = 3.0
"""The surroundings of a point are three times as wide as its patch: 33 px at 480 rows."""

_SURE = 0.85
_CLEAR, _CLEAR_CONTEXT = 0.93, 0.85
_LEAST = 0.5
_LEAST_HIDDEN = 0.6
_LEAST_CONTEXT = 0.33
_LEAST_CONTEXT_HIDDEN = 0.45
_SHADED = 0.3
_SHADED_CONTEXT = 0.6
_ADAPT_CONTEXT = 0.7
_ADAPTATION = 0.02


@dataclass(frozen=True, eq=False)
class RestView:
    """What is seen at the resting places in one frame.

    Attributes:
        xy_px: The places, moved along with the camera.
        similarity: To how the point looked at rest, or in its first frame.
        first_similarity: To how it looked in its first frame.
        context: The same for its surroundings.
        patch: What is seen.
        wide_patch: What is seen around it.
    """

    xy_px: Float[np.ndarray, "n 2"]
    similarity: Float[np.ndarray, "n"]
    first_similarity: Float[np.ndarray, "n"]
    context: Float[np.ndarray, "n"]
    patch: PatchTemplates
    wide_patch: PatchTemplates

    @property
    def is_clear(self) -> Bool[np.ndarray, "n"]:
        """Which points are there beyond doubt, in undisturbed surroundings: there is no need to look for motion."""
        clear: np.ndarray = (self.similarity >= _CLEAR) & (self.context >= _CLEAR_CONTEXT)
        return clear

    def holds(self, visible: Bool[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Return which points are still there to be seen.

        Patch and surroundings must both agree, unless the patch is beyond doubt, or the surroundings are and the
        patch has only fallen into a shadow. Points that were hidden in the last frame have to agree better.

        Args:
            visible: Which points were visible in the last frame.
        """
        least = np.where(visible, _LEAST, _LEAST_HIDDEN)
        least_context = np.where(visible, _LEAST_CONTEXT, _LEAST_CONTEXT_HIDDEN)
        agrees = (self.similarity >= least) & ((self.context >= least_context) | (self.similarity >= _SURE))
        shaded = (self.similarity >= _SHADED) & (self.context >= _SHADED_CONTEXT)
        result: np.ndarray = agrees | shaded
        return result


class RestingPlaces:
    """The last place at which each point has lain still, and how it and its surroundings looked there. One thread.

    Args:
        rgb: The first frame.
        xy_px: The points in it.
        spacing_px: Distance of a patch's samples.
    """

    def __init__(
        self, rgb: UInt8[np.ndarray, "height width 3"], xy_px: Float[np.ndarray, "n 2"], spacing_px: float
    ) -> None:
        self._near, self._wide = PatchSampler(spacing_px), PatchSampler(CONTEXT_SCALE * spacing_px)
        self._home = xy_px.copy()
        self.patch = self._near.sample(rgb, xy_px)
        self._wide_patch = self._first_wide_patch = self._wide.sample(rgb, xy_px)

    def look(
        self, rgb: UInt8[np.ndarray, "height width 3"], camera: CameraMotion, first_patch: PatchTemplates
    ) -> RestView:
        """Return what is seen at the resting places.

        Args:
            rgb: This frame.
            camera: Up to date with this frame.
            first_patch: How the points looked in their first frame.
        """
        xy = camera.from_first(self._home)
        patch, wide = self._near.sample(rgb, xy), self._wide.sample(rgb, xy)
        first = self._near.similarity(patch, first_patch)
        similarity = np.maximum(self._near.similarity(patch, self.patch), first)
        context = np.maximum(
            self._wide.similarity(wide, self._wide_patch), self._wide.similarity(wide, self._first_wide_patch)
        )
        return RestView(xy, similarity, first, context, patch, wide)

    def context_at(
        self, rgb: UInt8[np.ndarray, "height width 3"], xy_px: Float[np.ndarray, "n 2"]
    ) -> Float[np.ndarray, "n"]:
        """Return how like the surroundings in the first frame those of other places are."""
        return self._wide.similarity(self._wide.sample(rgb, xy_px), self._first_wide_patch)

    def adapt(self, view: RestView, at_rest: Bool[np.ndarray, "n"]) -> None:
        """Follow slow changes of light where points rest in plain view.

        The gate is the context's: an arm that creeps over a point changes that first.
        """
        clear = at_rest & (view.context >= _ADAPT_CONTEXT) & (view.similarity >= _LEAST)
        weight = np.where(clear, _ADAPTATION, 0.0)
        self.patch = self.patch.blended(view.patch, weight)
        self._wide_patch = self._wide_patch.blended(view.wide_patch, weight)

    def settle(
        self,
        index: Int[np.ndarray, "k"],
        rgb: UInt8[np.ndarray, "height width 3"],
        xy_px: Float[np.ndarray, "k 2"],
        home_px: Float[np.ndarray, "k 2"],
    ) -> None:
        """Make `xy_px` in this frame, `home_px` in the first, the resting place of some points."""
        if not len(index):
            return
        wide = self._wide.sample(rgb, xy_px)
        self._home = self._home.copy()
        self._home[index] = home_px
        self.patch = self.patch.replaced(index, self._near.sample(rgb, xy_px))
        self._wide_patch = self._wide_patch.replaced(index, wide)
        self._first_wide_patch = self._first_wide_patch.replaced(index, wide)
