"""Where points are kept while they cannot be seen, and where they are looked for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.trackers.lucas_kanade_config import LucasKanadeConfig
from glue_perception.trackers.patch_template import PatchSampler, PatchTemplates

_AT_HOME_PX = 4.0
_MIN_STEP_PX = 0.3
_GRID_STEPS = 5
_WIDEN_FRAMES = 30
_WIDEST = 3.0
_LEAST_FOUND = 0.5
_FOUND_MARGIN = 0.1


class HiddenPoints:
    """Remembers a place for every point that is hidden: at rest where it rested, otherwise where it was last seen.

    Both move along when the rest of the object is seen to move. One thread.

    Args:
        xy_px: The points in the first frame.
        scale: Rows of the image / 480.
    """

    def __init__(self, xy_px: Float[np.ndarray, "n 2"], scale: float) -> None:
        self._scale = scale
        self._kept_xy = xy_px.copy()
        self._at_home = np.ones(len(xy_px), bool)
        self._hidden_frames = np.zeros(len(xy_px), int)
        self._turn = 0
        steps = np.arange(-_GRID_STEPS, _GRID_STEPS + 1) / _GRID_STEPS
        self._unit_grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)

    def put(self, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]) -> None:
        """Take new places for some points."""
        self._kept_xy = self._kept_xy.copy()
        self._kept_xy[index] = xy_px
        self._at_home[index] = True

    def keep(
        self,
        last_xy_px: Float[np.ndarray, "n 2"],
        rest_xy_px: Float[np.ndarray, "n 2"],
        step_px: Float[np.ndarray, "n 2"],
        newly: Bool[np.ndarray, "n"],
    ) -> Float[np.ndarray, "n 2"]:
        """Return where each point is kept in this frame; only those of hidden points mean anything.

        Args:
            last_xy_px: Places in the last frame.
            rest_xy_px: Resting places in this frame.
            step_px: How far each point's object has moved since the last frame, 0 if that is not seen.
            newly: Which points are hidden for the first time.
        """
        stepped = np.linalg.norm(step_px, axis=1) > _MIN_STEP_PX * self._scale
        near_rest = np.linalg.norm(last_xy_px - rest_xy_px, axis=1) <= _AT_HOME_PX * self._scale
        self._at_home = np.where(newly, near_rest, self._at_home) & ~stepped
        kept = np.where(newly[:, None], last_xy_px, self._kept_xy) + np.where(stepped[:, None], step_px, 0.0)
        self._kept_xy = np.where(self._at_home[:, None], rest_xy_px, kept)
        return self._kept_xy

    def next_to_search(self, hidden: Bool[np.ndarray, "n"]) -> int | None:
        """Return which hidden point is to be looked for in this frame: one every other frame, in turn."""
        self._hidden_frames = np.where(hidden, self._hidden_frames + 1, 0)
        index = np.flatnonzero(hidden)
        if not len(index):
            return None
        self._turn += 1
        return None if self._turn % 2 else int(index[self._turn // 2 % len(index)])

    def search(
        self,
        index: int,
        rgb: UInt8[np.ndarray, "height width 3"],
        xy_px: Float[np.ndarray, "2"],
        template: PatchTemplates,
        sampler: PatchSampler,
        config: LucasKanadeConfig,
    ) -> Float[np.ndarray, "2"]:
        """Return the place around `xy_px` that looks most like the point, or `xy_px` if none looks clearly better.

        The longer a point has been hidden, the further it is looked for.

        Args:
            index: Which point.
            rgb: This frame.
            xy_px: Where the point is kept.
            template: Of this one point.
            sampler: That the template was made with.
            config: Says how far to look.
        """
        widened = min(_WIDEST, 1.0 + self._hidden_frames[index] / _WIDEN_FRAMES)
        places = xy_px + self._unit_grid * (config.search_px * self._scale * widened)
        similarity = sampler.similarity(
            sampler.sample(rgb, places), template.take(np.zeros(len(places), np.int64))
        )
        best, here = int(np.argmax(similarity)), len(places) // 2
        found = similarity[best] >= max(_LEAST_FOUND, similarity[here] + _FOUND_MARGIN)
        result: np.ndarray = places[best] if found else xy_px
        return result
