"""The cloth's part of the twin's MJCF."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from glue_bringup.sim.tasks.cloth.config import ClothConfig
from glue_bringup.sim.tasks.free_bodies import child_of, numbers

CONTACT_BIT = 2
"""Collision bit of the cloth and its support alone: robot and table use bit 1, so neither meets the cloth."""

PINCH_NUMBERS = 4
"""What the simulation's state remembers of a pinch: 1 + index of the held point (0: none), place in the hand."""


def add_cloth(scene: ET.Element, config: ClothConfig, texture_file: str) -> None:
    """Add the cloth to an MJCF: its flex, the plane that carries it, two-sided skin, memory of the pinch.

    The scene is integrated by Euler's method, as flexes ask for, with elliptic friction cones, which cost a third
    less here. The cloth touches a plane at the height of the table top and nothing else: contacts of some hundred
    triangles with the table's box, or with each other, take several times as long.

    Args:
        scene: Root of the MJCF.
        config: Of the cloth.
        texture_file: Picture whose left half is printed on the front and whose right half on the back.
    """
    option = child_of(scene, "option")
    option.set("integrator", "Euler")
    option.set("cone", "elliptic")
    child_of(scene, "size").set("nuserdata", str(PINCH_NUMBERS))
    world = child_of(scene, "worldbody")
    n, s, r = config.count, config.spacing_m, config.radius_m
    ET.SubElement(
        world,
        "geom",
        name=f"{config.name}_support",
        type="plane",
        size="1 1 0.01",
        contype="0",
        conaffinity=str(CONTACT_BIT),
        friction="1 0.005 0.0001",
        group="3",
    )
    flex = ET.SubElement(
        world,
        "flexcomp",
        name=config.name,
        type="grid",
        dim="2",
        count=f"{n} {n} 1",
        spacing=f"{s} {s} {s}",
        pos=f"0.5 0 {r}",
        mass=f"{config.mass_kg}",
        radius=f"{r}",
        group="3",  # the skin is what one sees
    )
    ET.SubElement(
        flex,
        "contact",
        condim="3",
        contype=str(CONTACT_BIT),
        conaffinity="0",
        selfcollide="none",
        friction="1 0.005 0.0001",
        solref="0.005 1",
    )
    ET.SubElement(
        flex,
        "elasticity",
        young=f"{config.young_pa}",
        poisson="0.2",
        thickness=f"{config.thickness_m}",
        damping=f"{config.elastic_damping_s}",
        elastic2d="both",
    )
    _add_skin(scene, config, texture_file)


def _add_skin(scene: ET.Element, config: ClothConfig, texture_file: str) -> None:
    asset = child_of(scene, "asset")
    ET.SubElement(asset, "texture", name=config.name, type="2d", file=texture_file)
    ET.SubElement(asset, "material", name=config.name, texture=config.name, specular="0", shininess="0")
    n, grid = config.count, config.grid_m()
    points = np.column_stack([grid + np.array([0.5, 0.0]), np.full(n * n, config.radius_m)])
    # Texture: u runs along the cloth's -y (to the right, seen by the robot), v along its -x (downwards).
    across, down = 0.5 - grid[:, 1] / config.size_m, 0.5 - grid[:, 0] / config.size_m
    front, back = np.stack([across / 2, down], axis=1), np.stack([0.5 + across / 2, down], axis=1)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    a, b, c, d = corner, corner + n, corner + n + 1, corner + 1  # counter-clockwise from above
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    skin = ET.SubElement(
        child_of(scene, "deformable"),
        "skin",
        name=f"{config.name}_skin",
        material=config.name,
        inflate=f"{0.8 * config.radius_m}",
        vertex=numbers(np.concatenate([points, points])),
        texcoord=numbers(np.concatenate([front, back])),
        face=numbers(np.concatenate([faces, faces[:, ::-1] + n * n])),
    )
    for vertex, point in enumerate(points):
        ET.SubElement(
            skin,
            "bone",
            body=f"{config.name}_{vertex}",
            bindpos=numbers(point),
            bindquat="1 0 0 0",
            vertid=f"{vertex} {vertex + n * n}",
            vertweight="1 1",
        )
