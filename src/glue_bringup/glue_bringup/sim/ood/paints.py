"""Colours of what a condition adds, so that a query still means one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.ood.distractors import ANY, PAINTS, PALETTE, Item
from glue_bringup.sim.ood.task_objects import TaskObject
from glue_perception.color import lab_from_rgb, lch_from_lab
from glue_perception.detectors.color_words import REGIONS, color_of
from glue_perception.errors import QueryError


class Paints:
    """Chooses colours of one episode: the target's own for some thin things, none that a query asks for on others.

    Args:
        model: Has the colours of the task's objects.
        objects: The task's, with their queries.
        rng: Of the episode.
    """

    def __init__(self, model: Any, objects: Sequence[TaskObject], rng: np.random.Generator) -> None:
        self._rng = rng
        self._regions = [r for r in map(_region, (o.query for o in objects)) if r is not None]
        self._allowed = [PAINTS[name] for name in PALETTE if not self._asked_for(PAINTS[name])]
        own: list[Float[np.ndarray, "3"]] = [_colour(model, g) for o in objects for g in o.geoms]
        self._targets = [c for c in own if self._asked_for(c)] or own or [np.array(PAINTS["red"])]

    def colours(self, item: Item, confusable: bool) -> Float[np.ndarray, "parts 3"]:
        """Return a colour per part; a confusable item has its free parts in the target's own."""
        any_colour = self._allowed[int(self._rng.integers(len(self._allowed)))]
        own = self._targets[int(self._rng.integers(len(self._targets)))]
        spare = self._allowed[int(self._rng.integers(len(self._allowed)))]
        shade = float(self._rng.uniform(0.85, 1.08))
        rows = []
        for part in item.parts:
            rgb = np.asarray((own if confusable else any_colour) if part.paint == ANY else PAINTS[part.paint])
            if self._asked_for(rgb) and not item.thin:
                rgb = np.asarray(spare)
            rows.append(np.clip(rgb * (1.0 if confusable else shade), 0.0, 1.0))
        return np.array(rows)

    def _asked_for(self, rgb: Sequence[float] | Float[np.ndarray, "3"]) -> bool:
        """Return whether a query's colour word fits this paint in any light between shade and full."""
        levels = np.outer((1.0, 0.8, 0.6), np.asarray(rgb)) * 255.0
        lch = lch_from_lab(lab_from_rgb(np.clip(levels, 0, 255).astype(np.uint8)[None]))
        return any(bool(region.contains(lch).any()) for region in self._regions)


def _colour(model: Any, geom: int) -> Float[np.ndarray, "3"]:
    material = int(model.geom_matid[geom])
    rgba = model.geom_rgba[geom] if material < 0 else model.mat_rgba[material]
    return np.asarray(rgba[:3])


def _region(query: str) -> Any:
    try:
        return REGIONS[color_of(query)]
    except QueryError:
        return None  # a query without a colour word
