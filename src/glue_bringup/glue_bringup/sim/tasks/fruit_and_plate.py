"""The mango and the plate: how they look and how they touch."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from glue_bringup.sim.cache import cache_folder, write_whole
from glue_bringup.sim.tasks.free_bodies import CONTACT, child_of, numbers

MANGO_HALF_M = (0.046, 0.027, 0.025)
MANGO_KG = 0.15
PLATE_RADIUS_M = 0.100
PLATE_INNER_RADIUS_M = 0.080
RIM_M = 0.034
PLATE_KG = 0.45
"""Sizes as in the paper's clips, with the Franka's 22 mm finger tip as the scale."""

_PROFILE_M = ((0.0, 0.007), (0.062, 0.008), (0.080, 0.014), (0.093, 0.025), (0.100, 0.034))
"""Inner face of the plate: radius and height."""

_BACK_M = ((0.098, 0.031), (0.090, 0.020), (0.076, 0.008), (0.060, 0.001), (0.0, 0.001))
_RIM_M = ((0.0985, 0.0345), (0.1008, 0.0350), (0.1010, 0.0325), (0.0985, 0.0320))
_FOOT_RADIUS_M = 0.060
_SEGMENTS = 48
_WALL_PIECES = 16
_MANGO_VERSION = "5"
_YELLOW, _ORANGE, _RED = (236, 176, 24), (222, 96, 22), (168, 20, 34)


def add_mango(scene: ET.Element, body: ET.Element) -> None:
    """Append the fruit: an ellipsoid that is yellow at one end and red at the other."""
    asset = child_of(scene, "asset")
    ET.SubElement(asset, "texture", name="mango", type="2d", file=str(_mango_texture()))
    # The emission is the light that the table throws back onto the fruit's underside.
    ET.SubElement(
        asset, "material", name="mango", texture="mango", specular="0.25", shininess="0.4", emission="0.2"
    )
    ET.SubElement(
        body,
        "geom",
        name="mango",
        type="ellipsoid",
        size=numbers(MANGO_HALF_M),
        mass=f"{MANGO_KG}",
        group="3",
        # All six directions: rolling friction lets an ellipsoid come to rest at all.
        **{**CONTACT, "condim": "6", "friction": "1 0.015 0.002"},
    )
    vertices, faces, places = _skin()
    _add_seen(scene, body, "mango", vertices, faces, {"texcoord": numbers(places)}, {"material": "mango"})


def add_plate(scene: ET.Element, body: ET.Element) -> None:
    """Append the plate: a turned mesh to be seen; a disc and a ring of flat pieces to be touched."""
    asset = child_of(scene, "asset")
    ET.SubElement(asset, "material", name="china", rgba="0.90 0.93 0.95 1", specular="0.2", shininess="0.6")
    _add_seen(scene, body, "plate", *_turned(_PROFILE_M + _BACK_M), {}, {"material": "china"})
    _add_seen(scene, body, "plate_rim", *_turned(_RIM_M), {}, {"rgba": "0.10 0.10 0.12 1"})
    _add_walls(body)


def _add_seen(
    scene: ET.Element,
    body: ET.Element,
    name: str,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    mesh: dict[str, str],
    look: dict[str, Any],
) -> None:
    """Append a mesh that is drawn and touches nothing."""
    face = " ".join(map(str, faces.ravel()))
    vertex = numbers(vertices)
    ET.SubElement(
        child_of(scene, "asset"),
        "mesh",
        name=name,
        vertex=vertex,
        face=face,
        attrib={"inertia": "shell", **mesh},
    )
    ET.SubElement(
        body, "geom", type="mesh", mesh=name, mass="0", contype="0", conaffinity="0", group="1", **look
    )


def _add_walls(body: ET.Element) -> None:
    contact: dict[str, Any] = {**CONTACT, "group": "3"}
    thick = 0.0035
    ET.SubElement(
        body,
        "geom",
        name="plate_floor",
        type="cylinder",
        pos=numbers((0, 0, thick)),
        size=numbers((_FOOT_RADIUS_M, thick)),
        mass=f"{0.6 * PLATE_KG}",
        **contact,
    )
    for (r0, z0), (r1, z1) in pairwise(((0.058, 0.007), (0.080, 0.014), (0.100, 0.034))):
        slope = np.arctan2(z1 - z0, r1 - r0)
        length = float(np.hypot(r1 - r0, z1 - z0))
        middle = np.array([(r0 + r1) / 2 + thick * np.sin(slope), (z0 + z1) / 2 - thick * np.cos(slope)])
        for k in range(_WALL_PIECES):
            angle = 2 * np.pi * k / _WALL_PIECES
            ET.SubElement(
                body,
                "geom",
                type="box",
                pos=numbers((middle[0] * np.cos(angle), middle[0] * np.sin(angle), middle[1])),
                quat=numbers(_quaternion(angle, slope)),
                size=numbers((length / 2, r1 * np.tan(np.pi / _WALL_PIECES), thick)),
                mass=f"{0.2 * PLATE_KG / _WALL_PIECES}",
                **contact,
            )


def _quaternion(angle_rad: float, slope_rad: float) -> tuple[float, float, float, float]:
    """Return MuJoCo's quaternion (w first) of a rise by the slope along x, then a turn about the vertical."""
    (a, b), (c, d) = ((np.cos(t / 2), np.sin(t / 2)) for t in (angle_rad, -slope_rad))
    return a * c, -b * d, a * d, b * c


def _turned(
    profile_m: tuple[tuple[float, float], ...],
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Return the surface that a closed line of (radius, height) sweeps about the z axis."""
    angles = 2 * np.pi * np.arange(_SEGMENTS) / _SEGMENTS
    radius, height = np.array(profile_m).T[:, :, None]
    # A ring of radius zero is a point; a tenth of a millimetre spares it a case of its own.
    radius = np.maximum(radius, 1e-4)
    flat = np.ones((1, _SEGMENTS))
    vertices = np.stack([radius * np.cos(angles), radius * np.sin(angles), height * flat], axis=-1)
    return vertices.reshape(-1, 3), _grid_faces(len(profile_m), _SEGMENTS)


def _grid_faces(rings: int, around: int) -> Int[np.ndarray, "f 3"]:
    """Return the triangles between neighbouring rings, the last ring joined to the first."""
    ring, k = (a.ravel() for a in np.meshgrid(np.arange(rings), np.arange(around), indexing="ij"))
    a, b = ring * around + k, ring * around + (k + 1) % around
    c, d = ((ring + 1) % rings) * around + k, ((ring + 1) % rings) * around + (k + 1) % around
    return np.concatenate([np.stack([a, d, b], axis=1), np.stack([a, c, d], axis=1)])


def _skin() -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"], Float[np.ndarray, "v 2"]]:
    """Return the mango's surface with the place in the texture of each vertex: along it, around it."""
    rings, around = 20, 25
    along = np.linspace(0.0, np.pi, rings)[:, None]
    turn = np.linspace(0.0, 2 * np.pi, around)[None]  # the seam has its vertices twice
    unit = np.stack(
        [
            -np.cos(along) * np.ones_like(turn),
            np.maximum(np.sin(along), 2e-3) * np.cos(turn),
            np.maximum(np.sin(along), 2e-3) * np.sin(turn),
        ],
        axis=-1,
    )
    faces = []
    for ring in range(rings - 1):
        for k in range(around - 1):
            a, c = ring * around + k, (ring + 1) * around + k
            faces += [(a, a + 1, c + 1), (a, c + 1, c)]
    place = np.stack(np.broadcast_arrays(along / np.pi, turn / (2 * np.pi)), axis=-1)
    return (unit * np.array(MANGO_HALF_M)).reshape(-1, 3), np.array(faces), place.reshape(-1, 2)


def _mango_texture() -> Path:
    """Return a PNG of the skin, made if missing: columns along the fruit, rows around it."""
    path = cache_folder("mango") / f"skin-{_MANGO_VERSION}.png"
    if not path.exists():
        _, encoded = cv2.imencode(".png", _paint_skin()[:, :, ::-1])
        write_whole(path, encoded.tobytes())
    return path


def _paint_skin() -> UInt8[np.ndarray, "rows cols 3"]:
    rng = np.random.default_rng(11)
    rows, cols = 128, 256
    around = np.linspace(0.0, 2 * np.pi, rows)[:, None]
    # Wrapped, so that no seam shows.
    blotches = cv2.GaussianBlur(np.tile(rng.normal(size=(rows, cols)), (3, 1)), (0, 0), sigmaX=18, sigmaY=5)
    blotches = blotches[rows : 2 * rows] / blotches.std()
    ripeness = np.linspace(0.0, 1.0, cols)[None] + 0.10 * np.cos(around) + 0.06 * blotches
    colors = np.array([_YELLOW, _YELLOW, _ORANGE, _RED, _RED], float)
    skin = np.stack(
        [np.interp(ripeness, (0.0, 0.56, 0.68, 0.86, 1.0), colors[:, channel]) for channel in range(3)],
        axis=-1,
    )
    painted: np.ndarray = np.clip(skin, 0, 255).astype(np.uint8)
    return painted
