"""Put the white block on the blue block (paper, IV-B)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.impedance import TCP_OFFSET_M
from glue_bringup.sim.tasks.free_bodies import (
    AWAY_M,
    CONTACT,
    OPEN_MARGIN_M,
    REST_M_S,
    REST_RAD_S,
    FreeBodies,
    add_free_body,
    child_of,
    numbers,
    sample_apart,
    transforms,
    upright,
)

WHITE_HALF_M = (0.0225, 0.0225, 0.020)
BLUE_HALF_M = (0.038, 0.038, 0.0225)
"""Half sizes. The paper gives none; these are read off its clips, with the Franka's 22 mm finger tip as the scale."""

AREA_X_M = (0.38, 0.65)
AREA_Y_M = (-0.20, 0.18)
"""Where the blocks' middles may be: push_button's area, less what would put a corner below the camera's frame."""

APART_M = 0.15
"""Least distance of the centres: the fingers fit between the blocks, and neither hides the other from the camera."""

SEAT_M = 0.004
"""A height that differs by less than this from that of resting on a face is resting on it."""

_WHITE, _BLUE = "white_block", "blue_block"
_STREAM = 3


@dataclass(frozen=True, eq=False)
class StackBlockLayout:
    """Where the blocks are: the pose of each block's middle, z up at the start, base frame, metres.

    Attributes:
        T_base_white: Of the block that is to be moved.
        T_base_blue: Of the block that it is to be put on.
    """

    T_base_white: Float[np.ndarray, "4 4"]
    T_base_blue: Float[np.ndarray, "4 4"]


class StackBlock:
    """A small white block with an inked mark and a larger blue one, both placed and turned at random."""

    name: str = "stack_block"
    queries: tuple[str, ...] = ("white block", "blue block")
    hold_s: float = 0.5

    def __init__(self) -> None:
        self._bodies: FreeBodies | None = None

    def sample_layout(self, seed: int) -> StackBlockLayout:
        """Return the layout of episode `seed`."""
        rng = np.random.default_rng([seed, _STREAM])
        white, blue = sample_apart(rng, (AREA_X_M, AREA_Y_M), (AREA_X_M, AREA_Y_M), APART_M)
        yaws = rng.uniform(-np.pi, np.pi, 2)
        return StackBlockLayout(
            upright(white[0], white[1], WHITE_HALF_M[2], yaws[0]),
            upright(blue[0], blue[1], BLUE_HALF_M[2], yaws[1]),
        )

    def add_to_scene(self, scene: ET.Element) -> None:
        """Append both blocks."""
        asset = child_of(scene, "asset")
        # The light that the table throws back onto upright faces; without it they are as grey as shadows.
        ET.SubElement(asset, "material", name="white_paint", rgba="0.93 0.93 0.92 1", emission="0.35")
        ET.SubElement(asset, "material", name="blue_paint", rgba="0.07 0.06 0.72 1", emission="0.1")
        white = add_free_body(scene, _WHITE, (0.5, -0.15, WHITE_HALF_M[2]))
        _add_box(white, _WHITE, WHITE_HALF_M, 0.08, "white_paint")
        _add_marks(white)
        blue = add_free_body(scene, _BLUE, (0.5, 0.15, BLUE_HALF_M[2]))
        _add_box(blue, _BLUE, BLUE_HALF_M, 0.25, "blue_paint")

    def apply_layout(self, model: Any, data: Any, layout: StackBlockLayout) -> None:
        """Put both blocks in their places, at rest."""
        self._places(model).place(data, (layout.T_base_white, layout.T_base_blue))

    def measure(self, model: Any, data: Any) -> Float[np.ndarray, "k"]:
        """Return the poses of both blocks."""
        return self._places(model).poses(data)

    def truth(self, layout: StackBlockLayout, measured: Float[np.ndarray, "k"]) -> StackBlockLayout:
        """Return where the blocks are now."""
        return StackBlockLayout(*transforms(measured))

    def is_success(self, model: Any, data: Any) -> bool:
        """Return whether the white block lies on the blue one, touches nothing else, and both are at rest.

        The gripper must be open and its fingers' middle 4 cm away. `GoalWatch` asks that this lasts.
        """
        places = self._places(model)
        height = places.height_m(data, 0) - places.height_m(data, 1)
        if not _SEATED_M[0] < height < _SEATED_M[1]:
            return False
        if places.gripper_width_m(data) < 2 * WHITE_HALF_M[0] + OPEN_MARGIN_M:
            return False
        if not places.at_rest(data, REST_M_S, REST_RAD_S):
            return False
        T_base_white, T_base_blue = transforms(places.poses(data))
        aside = T_base_blue[:3, :3].T @ (T_base_white[:3, 3] - T_base_blue[:3, 3])
        if not (np.abs(aside[:2]) < BLUE_HALF_M[:2]).all():
            return False
        if float(np.linalg.norm(places.tool_m(data, TCP_OFFSET_M) - T_base_white[:3, 3])) < AWAY_M:
            return False
        white, blue = (places.touching(data, body) for body in places.bodies)
        return white.has_body(places.bodies[1]) and not (
            white.robot or blue.robot or white.has_geom(places.table)
        )

    def _places(self, model: Any) -> FreeBodies:
        if self._bodies is None or self._bodies.model is not model:
            self._bodies = FreeBodies(model, (_WHITE, _BLUE))
        return self._bodies


_SEATED_M = (
    BLUE_HALF_M[2] + min(WHITE_HALF_M) - SEAT_M,
    BLUE_HALF_M[2] + max(WHITE_HALF_M) + SEAT_M,
)
"""Height of the white block's middle above the blue one's, whichever face it lies on."""


def _add_box(
    body: ET.Element, name: str, half_m: tuple[float, float, float], mass_kg: float, material: str
) -> None:
    ET.SubElement(
        body,
        "geom",
        name=name,
        type="box",
        size=numbers(half_m),
        mass=f"{mass_kg}",
        material=material,
        **CONTACT,
    )


def _add_marks(body: ET.Element) -> None:
    """Ink a # on each upright face, as on the block of the paper's clips."""
    half, thin, long, gap = WHITE_HALF_M[0], 0.0012, 0.0075, 0.0028
    for quarter in range(4):
        along = (1, 0)[quarter % 2]  # the axis in the face; the other one is its normal
        normal = 1 - along
        side = half * (1.0 if quarter < 2 else -1.0)
        for stroke, offset in ((along, -gap), (along, gap), (2, -gap), (2, gap)):
            across = 2 if stroke == along else along
            pos, size = np.zeros(3), np.full(3, thin)
            pos[normal], pos[across] = side, offset
            size[normal], size[stroke] = 0.0003, long
            ET.SubElement(
                body,
                "geom",
                type="box",
                pos=numbers(pos),
                size=numbers(size),
                rgba="0.08 0.09 0.30 1",
                mass="0",
                contype="0",
                conaffinity="0",
            )
