"""Cloth that lies on cloth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.tasks.cloth.config import ClothConfig


class Layers:
    """Cloth that lies on cloth: pairs of vertices, one above the other, that keep two radii of height apart.

    MuJoCo's own self-collision of a flex makes a step up to eight times as long. Folding lays one layer on another
    from above, and for that it is enough to look at the height. Pairs are found anew every few steps from the
    vertices' places alone.
    """

    def __init__(self, config: ClothConfig) -> None:
        self._config = config
        self.forget()

    def forget(self) -> None:
        """Begin an episode."""
        self._above = self._below = np.empty(0, int)
        self._due_s = -1.0

    def forces(
        self, time_s: float, points: Float[np.ndarray, "v 3"], velocity: Float[np.ndarray, "v 3"]
    ) -> Float[np.ndarray, "v 3"]:
        """Return the force on each vertex from the layer under or over it."""
        config, force = self._config, np.zeros_like(points)
        if time_s >= self._due_s:
            self._due_s = time_s + _SEARCH_S
            self._find(points)
        above, below = self._above, self._below
        if not len(above):
            return force
        depth = 2 * config.radius_m - (points[above, 2] - points[below, 2])
        touching = depth > 0.0
        above, below = above[touching], below[touching]
        pair = -config.layer_friction_ns_m * (velocity[above] - velocity[below])
        pair[:, 2] += config.layer_stiffness_n_m * depth[touching]
        np.add.at(force, above, pair)
        np.add.at(force, below, -pair)
        return force

    def _find(self, points: Float[np.ndarray, "v 3"]) -> None:
        if float(points[:, 2].max()) < _FLAT_M:
            self._above = self._below = np.empty(0, int)
            return
        x, y, z = points.T
        near = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < (_REACH * self._config.spacing_m) ** 2
        height = z[:, None] - z
        near &= (height > 0.0) & (height < _NEAR_M)
        self._above, self._below = np.nonzero(near)


_REACH = 0.75
"""A vertex rests on those within this many grid spacings to the side: one to four of them, but not its neighbours in
flat cloth."""

_NEAR_M = 0.02
_FLAT_M = 0.003
_SEARCH_S = 0.005
