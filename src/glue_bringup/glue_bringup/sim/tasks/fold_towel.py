"""Grasp the towel's top-right corner and fold it over (paper, IV-B)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.tasks.cloth import Cloth, ClothConfig, add_cloth
from glue_bringup.sim.towel_print import towel_print

AREA_X_M = (0.44, 0.56)
AREA_Y_M = (-0.10, 0.10)
YAW_RAD = (-0.4, 0.4)
"""Where the towel's middle may lie and how far it may be turned: all corners within reach, and no doubt which of
them is the top-right one."""

TOWEL = ClothConfig()

CORNERS = tuple(TOWEL.corner(x, y) for x, y in ((1, -1), (1, 1), (-1, 1), (-1, -1)))
"""Vertices: top right (away from the robot, to its right), top left, bottom left, bottom right."""

MET_M = 0.05
SPREAD_SHARE = 0.85
FLAT_M = 0.05
REST_M_S = 0.02
LET_GO_M = 0.02
AWAY_M = 0.06

_STREAM = 5


@dataclass(frozen=True, eq=False)
class FoldTowelLayout:
    """How the towel lies, flat, at the start.

    Attributes:
        centre_m: Its middle on the table, x and y in the base frame.
        yaw_rad: Its turn about the vertical; at 0 its top edge is parallel to the base's y.
    """

    centre_m: Float[np.ndarray, "2"]
    yaw_rad: float

    def points_m(self) -> Float[np.ndarray, "v 3"]:
        """Return where its vertices lie, base frame."""
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        flat = TOWEL.grid_m() @ np.array([[c, s], [-s, c]]) + self.centre_m
        return np.column_stack([flat, np.full(len(flat), TOWEL.radius_m)])


@dataclass(frozen=True, eq=False)
class FoldTowelTruth:
    """How the towel lies now.

    Attributes:
        layout: How it lay at the start.
        corners_m: Its corners top right, top left, bottom left, bottom right, base frame.
        held: Whether the fingers hold it.
    """

    layout: FoldTowelLayout
    corners_m: Float[np.ndarray, "4 3"]
    held: bool


class FoldTowel:
    """An azure towel of 25 cm with a pale back, anywhere on a part of the table, turned by up to 23 degrees.

    The paper says: grasp the top-right corner and fold. Its clip shows which fold: the corner is laid onto the
    opposite one, bottom left, so that a triangle remains.

    The towel is a MuJoCo flex of 11 x 11 vertices, which gives it stretching, bending, weight, and contact with
    friction on the table. What is modelled beside MuJoCo, see `Cloth`:

    - Layers carry each other by height alone.
    - The hand holds the towel by a spring between one point of the cloth and its place between the pads, since a grid
      of 25 mm cannot crumple between two fingers of 22 mm. The spring comes into being only when the fingers are
      closing, their opening is under 8 mm, and that point lies between the pads or at most 3 mm beside them, at the
      pads' height. It ends when they open beyond 14 mm. It neither slips nor tears off.
    - Fingers that do not hold the towel pass through it, and the arm does not feel its weight of 0.4 N.
    """

    name: str = "fold_towel"
    queries: tuple[str, ...] = ("blue towel",)
    hold_s: float = 0.2

    def __init__(self) -> None:
        self._found: Cloth | None = None

    def sample_layout(self, seed: int) -> FoldTowelLayout:
        """Return the layout of episode `seed`."""
        rng = np.random.default_rng([seed, _STREAM])
        centre = np.array([rng.uniform(*AREA_X_M), rng.uniform(*AREA_Y_M)])
        return FoldTowelLayout(centre, float(rng.uniform(*YAW_RAD)))

    def add_to_scene(self, scene: ET.Element) -> None:
        """Append the towel."""
        add_cloth(scene, TOWEL, str(towel_print()))

    def apply_layout(self, model: Any, data: Any, layout: FoldTowelLayout) -> None:
        """Lay the towel flat in its place, at rest, held by nobody."""
        self._cloth(model).place(data, layout.points_m())

    def before_step(self, model: Any, data: Any) -> None:
        """Set the forces on the towel that are not MuJoCo's own; to be called before each step of physics."""
        self._cloth(model).apply(data)

    def measure(self, model: Any, data: Any) -> Float[np.ndarray, "k"]:
        """Return the four corners and whether the towel is held."""
        cloth = self._cloth(model)
        return np.append(cloth.points_m(data)[list(CORNERS)].ravel(), float(cloth.held(data)))

    def truth(self, layout: FoldTowelLayout, measured: Float[np.ndarray, "k"]) -> FoldTowelTruth:
        """Return how the towel lies now."""
        return FoldTowelTruth(layout, measured[:-1].reshape(4, 3), bool(measured[-1]))

    def is_success(self, model: Any, data: Any) -> bool:
        """Return whether the towel lies folded and the hand has left it.

        The gripper has opened and its tool centre point is 6 cm away from every vertex; the top-right corner lies
        within 5 cm of the bottom-left one; the other two are still spread (85 % of the diagonal), so that the towel
        is folded and not crumpled; nothing stands up by more than 5 cm or moves faster than 2 cm/s. `GoalWatch` asks
        that this lasts.
        """
        cloth = self._cloth(model)
        if cloth.held(data) or cloth.gripper_width_m(data) < LET_GO_M:
            return False
        if float((tool := cloth.tool_m(data))[2]) < AWAY_M / 2:
            return False
        points = cloth.points_m(data)
        top_right, top_left, bottom_left, bottom_right = points[list(CORNERS), :2]
        if float(np.linalg.norm(top_right - bottom_left)) > MET_M:
            return False
        spread = float(np.linalg.norm(top_left - bottom_right))
        return (
            spread > SPREAD_SHARE * np.sqrt(2.0) * TOWEL.size_m
            and float(points[:, 2].max()) < FLAT_M
            and cloth.speed_m_s(data) < REST_M_S
            and float(np.linalg.norm(points - tool, axis=1).min()) > AWAY_M
        )

    def _cloth(self, model: Any) -> Cloth:
        if self._found is None or self._found.model is not model:
            self._found = Cloth(model, TOWEL)
        return self._found
