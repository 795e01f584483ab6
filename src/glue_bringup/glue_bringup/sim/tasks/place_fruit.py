"""Grasp the fruit, a mango, and put it in the plate (paper, IV-B)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.impedance import TCP_OFFSET_M
from glue_bringup.sim.tasks.free_bodies import (
    AWAY_M,
    OPEN_MARGIN_M,
    REST_M_S,
    REST_RAD_S,
    FreeBodies,
    add_free_body,
    sample_apart,
    transforms,
    upright,
)
from glue_bringup.sim.tasks.fruit_and_plate import (
    MANGO_HALF_M,
    PLATE_INNER_RADIUS_M,
    PLATE_RADIUS_M,
    RIM_M,
    add_mango,
    add_plate,
)

AREA_X_M = (0.38, 0.66)
AREA_Y_M = (-0.20, 0.20)
"""Where the mango's middle may lie, as in push_button."""

PLATE_AREA_X_M = (0.42, 0.60)
PLATE_AREA_Y_M = (-0.20, 0.20)
"""Where the plate's middle may be: all of the plate is in the camera's frame and can be reached into."""

APART_M = PLATE_RADIUS_M + MANGO_HALF_M[0] + 0.045
"""Least distance of the middles: there is room for an open finger between fruit and rim."""

_MANGO, _PLATE = "mango", "plate"
_STREAM = 4


@dataclass(frozen=True, eq=False)
class PlaceFruitLayout:
    """Where fruit and plate are, base frame, metres.

    Attributes:
        T_base_fruit: Middle of the mango, x along it; it lies on its side.
        T_base_plate: Middle of the plate's foot, z up.
    """

    T_base_fruit: Float[np.ndarray, "4 4"]
    T_base_plate: Float[np.ndarray, "4 4"]


class PlaceFruit:
    """A mango, turned at random, and a deep white plate with a dark rim, anywhere on a part of the table."""

    name: str = "place_fruit"
    queries: tuple[str, ...] = ("yellow mango", "white plate")
    hold_s: float = 0.5

    def __init__(self) -> None:
        self._bodies: FreeBodies | None = None

    def sample_layout(self, seed: int) -> PlaceFruitLayout:
        """Return the layout of episode `seed`."""
        rng = np.random.default_rng([seed, _STREAM])
        fruit, plate = sample_apart(rng, (AREA_X_M, AREA_Y_M), (PLATE_AREA_X_M, PLATE_AREA_Y_M), APART_M)
        yaws = rng.uniform(-np.pi, np.pi, 2)
        return PlaceFruitLayout(
            upright(fruit[0], fruit[1], MANGO_HALF_M[2], yaws[0]), upright(plate[0], plate[1], 0.0, yaws[1])
        )

    def add_to_scene(self, scene: ET.Element) -> None:
        """Append mango and plate."""
        add_mango(scene, add_free_body(scene, _MANGO, (0.5, -0.15, MANGO_HALF_M[2])))
        add_plate(scene, add_free_body(scene, _PLATE, (0.5, 0.15, 0.0)))

    def apply_layout(self, model: Any, data: Any, layout: PlaceFruitLayout) -> None:
        """Put both in their places, at rest."""
        self._places(model).place(data, (layout.T_base_fruit, layout.T_base_plate))

    def measure(self, model: Any, data: Any) -> Float[np.ndarray, "k"]:
        """Return the poses of fruit and plate."""
        return self._places(model).poses(data)

    def truth(self, layout: PlaceFruitLayout, measured: Float[np.ndarray, "k"]) -> PlaceFruitLayout:
        """Return where fruit and plate are now."""
        return PlaceFruitLayout(*transforms(measured))

    def is_success(self, model: Any, data: Any) -> bool:
        """Return whether the mango lies in the plate, which lies flat on the table, both at rest and let go.

        The gripper must be open and its fingers' middle 4 cm away. `GoalWatch` asks that this lasts.
        """
        places = self._places(model)
        # Cheap tests first: this runs at 1 kHz.
        if (
            not MANGO_HALF_M[2]
            < places.height_m(data, 0) - places.height_m(data, 1)
            < RIM_M + MANGO_HALF_M[0]
        ):
            return False
        if places.gripper_width_m(data) < 2 * MANGO_HALF_M[1] + OPEN_MARGIN_M:
            return False
        if not places.at_rest(data, REST_M_S, REST_RAD_S):
            return False
        T_base_fruit, T_base_plate = transforms(places.poses(data))
        inside = T_base_plate[:3, :3].T @ (T_base_fruit[:3, 3] - T_base_plate[:3, 3])
        if float(np.linalg.norm(inside[:2])) > PLATE_INNER_RADIUS_M or T_base_plate[2, 2] < _FLAT:
            return False
        if float(np.linalg.norm(places.tool_m(data, TCP_OFFSET_M) - T_base_fruit[:3, 3])) < AWAY_M:
            return False
        fruit, plate = (places.touching(data, body) for body in places.bodies)
        return fruit.has_body(places.bodies[1]) and not (
            fruit.robot or plate.robot or fruit.has_geom(places.table)
        )

    def _places(self, model: Any) -> FreeBodies:
        if self._bodies is None or self._bodies.model is not model:
            self._bodies = FreeBodies(model, (_MANGO, _PLATE))
        return self._bodies


_FLAT = 0.985
"""Cosine of ten degrees."""
