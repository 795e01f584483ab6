"""The objects that clutter a table: each a few primitive shapes, as in the authors' clip and beyond it.

They are made for pictures only: nothing collides with them. An episode under clutter is then, seed by seed, the very
same physics as the one without, so a difference in success is one of vision.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

BODY_PREFIX = "distractor_"
HIDDEN_GROUP = 4
"""Geoms of this group are not drawn; what an episode does not use waits in it."""

ANY = "any"
"""Paint of parts that get a new colour from the palette in every episode."""

PAINTS: dict[str, tuple[float, float, float]] = {
    "white": (0.88, 0.88, 0.86),
    "black": (0.06, 0.06, 0.07),
    "steel": (0.55, 0.56, 0.58),
    "concrete": (0.40, 0.40, 0.40),
    "red": (0.80, 0.07, 0.06),
    "yellow": (0.95, 0.82, 0.04),
    "blue": (0.08, 0.12, 0.72),
    "leaf": (0.10, 0.40, 0.10),
    "lime": (0.35, 0.66, 0.12),
    "orange": (0.93, 0.47, 0.05),
    "wood": (0.45, 0.29, 0.16),
    "cardboard": (0.70, 0.54, 0.36),
    "cloth": (0.62, 0.30, 0.22),
    "teal": (0.05, 0.50, 0.50),
    "purple": (0.40, 0.16, 0.55),
    "pink": (0.94, 0.55, 0.66),
    "sky": (0.35, 0.62, 0.88),
}
PALETTE = (
    "white",
    "black",
    "yellow",
    "blue",
    "lime",
    "orange",
    "wood",
    "teal",
    "purple",
    "pink",
    "sky",
    "red",
)

_TEXTURES = {
    # name: builtin, mark, first and second colour; modulated by the geom's own colour
    "checks": ("checker", "none", (1.0, 1.0, 1.0), (0.35, 0.35, 0.35)),
    "speckles": ("flat", "random", (0.95, 0.95, 0.95), (0.2, 0.2, 0.2)),
    "fade": ("gradient", "none", (1.0, 1.0, 1.0), (0.3, 0.3, 0.3)),
}


@dataclass(frozen=True)
class Part:
    """One primitive.

    Attributes:
        shape: MuJoCo's geom type.
        size_m: MuJoCo's half sizes.
        pos_m: Centre, from the middle of the item's foot print on the table.
        paint: A key of `PAINTS` or `ANY`.
        euler_deg: Turn about x, then y, then z.
        texture: A key of the textures here, or "" for plain.
    """

    shape: str
    size_m: tuple[float, ...]
    pos_m: tuple[float, float, float]
    paint: str = ANY
    euler_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    texture: str = ""


@dataclass(frozen=True)
class Item:
    """One thing of daily life.

    Attributes:
        parts: Its shapes.
        radius_m: Of the upright cylinder around it.
        height_m: Of the same.
        thin: A pen or tool. Only these may have the target's own colour: a second thing of the target's colour and
            of its size would make the query itself ambiguous, which is a test of the detector.
    """

    parts: tuple[Part, ...]
    radius_m: float
    height_m: float
    thin: bool = False


def _leaves() -> tuple[Part, ...]:
    angles = ((0, 35), (55, 60), (110, 30), (165, 55), (215, 35), (265, 62), (310, 40), (340, 65))
    parts = []
    for k, (turn, tilt) in enumerate(angles):
        paint = "lime" if k % 3 == 0 else "leaf"
        # A leaf leans outwards: its middle lies along the direction into which it is tilted.
        x, z = 0.06 * _SIN[90 - tilt], 0.13 + 0.07 * _SIN[tilt] + 0.01 * (k % 4)
        c, s = _SIN[(90 - turn) % 360], _SIN[turn]
        parts.append(
            Part(
                "ellipsoid", (0.075, 0.034, 0.006), (x * c, x * s, z), paint, (0.0, -float(tilt), float(turn))
            )
        )
    return tuple(parts)


def _sines() -> dict[int, float]:
    from math import radians, sin

    return {degrees: sin(radians(degrees)) for degrees in range(-360, 361)}


_SIN = _sines()

_PLANT = Item(
    (
        Part("cylinder", (0.048, 0.045), (0, 0, 0.045), "concrete"),
        Part("cylinder", (0.042, 0.003), (0, 0, 0.089), "wood"),
        *_leaves(),
    ),
    0.115,
    0.29,
)
_SPONGE = Item(
    (
        Part("box", (0.062, 0.032, 0.024), (0, 0, 0.024), "yellow"),
        *(Part("cylinder", (0.013, 0.002), (x, 0, 0.048), "orange") for x in (-0.036, 0.0, 0.036)),
    ),
    0.070,
    0.051,
)
_CARTON = Item(
    (
        Part("box", (0.048, 0.036, 0.050), (0, 0, 0.050), ANY, texture="speckles"),
        Part("box", (0.0485, 0.012, 0.0502), (0, 0, 0.050), "white"),
    ),
    0.061,
    0.101,
)
_BLOCKS = Item(
    (
        Part("box", (0.034, 0.034, 0.034), (0, 0, 0.034), "blue"),
        Part("box", (0.023, 0.023, 0.023), (0.004, 0, 0.091), "white", (0, 0, 30)),
    ),
    0.050,
    0.115,
)
_BAR = Item((Part("box", (0.095, 0.013, 0.013), (0, 0, 0.013), "white"),), 0.097, 0.026, thin=True)
_PEN = Item(
    (
        Part("capsule", (0.006, 0.052), (0, 0, 0.006), ANY, (0, 90, 0)),
        Part("capsule", (0.0045, 0.012), (0.066, 0, 0.006), "black", (0, 90, 0)),
    ),
    0.083,
    0.012,
    thin=True,
)
_PLIERS = Item(
    (
        Part("capsule", (0.007, 0.040), (-0.035, 0.016, 0.008), ANY, (0, 90, -22)),
        Part("capsule", (0.007, 0.040), (-0.035, -0.016, 0.008), ANY, (0, 90, 22)),
        Part("ellipsoid", (0.032, 0.012, 0.007), (0.030, 0, 0.008), "steel"),
    ),
    0.080,
    0.016,
    thin=True,
)
_SCREWDRIVER = Item(
    (
        Part("capsule", (0.012, 0.032), (-0.040, 0, 0.012), ANY, (0, 90, 0)),
        Part("capsule", (0.0035, 0.045), (0.045, 0, 0.012), "steel", (0, 90, 0)),
    ),
    0.095,
    0.024,
    thin=True,
)
_CLAMP = Item(
    (
        Part("capsule", (0.011, 0.050), (0, 0.014, 0.012), "black", (0, 90, 14)),
        Part("capsule", (0.011, 0.050), (0, -0.014, 0.012), "black", (0, 90, -14)),
        Part("box", (0.022, 0.026, 0.014), (0.030, 0, 0.014), "black"),
    ),
    0.075,
    0.030,
)
_MUG = Item(
    (
        Part("cylinder", (0.038, 0.045), (0, 0, 0.045), ANY),
        Part("cylinder", (0.033, 0.001), (0, 0, 0.0905), "wood"),
        Part("capsule", (0.006, 0.020), (0.052, 0, 0.045), ANY),
        Part("capsule", (0.006, 0.008), (0.044, 0, 0.067), ANY, (0, 90, 0)),
        Part("capsule", (0.006, 0.008), (0.044, 0, 0.023), ANY, (0, 90, 0)),
    ),
    0.060,
    0.092,
)
_CAN = Item(
    (
        Part("cylinder", (0.033, 0.056), (0, 0, 0.058), ANY, texture="speckles"),
        Part("cylinder", (0.029, 0.058), (0, 0, 0.058), "steel"),
    ),
    0.034,
    0.117,
)
_BOTTLE = Item(
    (
        Part("cylinder", (0.032, 0.065), (0, 0, 0.065), ANY),
        Part("ellipsoid", (0.032, 0.032, 0.028), (0, 0, 0.130), ANY),
        Part("cylinder", (0.012, 0.022), (0, 0, 0.170), ANY),
        Part("cylinder", (0.014, 0.009), (0, 0, 0.196), "white"),
        Part("cylinder", (0.0325, 0.022), (0, 0, 0.070), "white"),
    ),
    0.034,
    0.206,
)
_BALL = Item((Part("sphere", (0.036,), (0, 0, 0.036), ANY, texture="checks"),), 0.037, 0.072)
_ORANGE = Item(
    (
        Part("sphere", (0.036,), (0, 0, 0.036), "orange"),
        Part("ellipsoid", (0.010, 0.010, 0.003), (0, 0, 0.071), "leaf"),
    ),
    0.037,
    0.074,
)
_BANANA = Item(
    (
        Part("capsule", (0.016, 0.024), (0, 0, 0.016), "yellow", (0, 90, 0)),
        Part("capsule", (0.014, 0.022), (0.044, 0.014, 0.015), "yellow", (0, 90, 32)),
        Part("capsule", (0.014, 0.022), (-0.044, 0.014, 0.015), "yellow", (0, 90, -32)),
    ),
    0.085,
    0.033,
)
_BOOK = Item(
    (
        Part("box", (0.075, 0.055, 0.013), (0, 0, 0.013), "white"),
        Part("box", (0.077, 0.057, 0.002), (0, 0, 0.027), ANY, texture="fade"),
        Part("box", (0.077, 0.057, 0.001), (0, 0, 0.001), ANY),
    ),
    0.096,
    0.030,
)
_TAPE = Item(
    (
        Part("cylinder", (0.042, 0.014), (0, 0, 0.014), ANY),
        Part("cylinder", (0.026, 0.0142), (0, 0, 0.0145), "black"),
    ),
    0.043,
    0.030,
)
_RINGS = Item(
    tuple(
        Part("cylinder", (0.040 - 0.008 * k, 0.011), (0, 0, 0.011 + 0.022 * k), paint)
        for k, paint in enumerate(("blue", "lime", "yellow", "orange"))
    ),
    0.041,
    0.090,
)

CATALOGUE: tuple[Item, ...] = (
    *(_PLANT, _SPONGE, _CARTON, _BLOCKS, _BAR, _PEN, _PLIERS, _SCREWDRIVER, _CLAMP, _MUG, _CAN, _BOTTLE),
    *(_BALL, _ORANGE, _BANANA, _BOOK, _TAPE, _RINGS, _PLANT, _CARTON, _PEN, _PLIERS, _MUG, _CAN, _BOOK, _BAR),
)
"""What a scene with clutter holds; an episode shows some of it. More than `MAX_DISTRACTORS`."""


def add_distractors(scene: ET.Element, world: ET.Element) -> None:
    """Append the whole catalogue, unseen, to an MJCF scene.

    Args:
        scene: Root element; gets the textures.
        world: Worldbody; gets a body per item.
    """
    add_textures(scene)
    for index, item in enumerate(CATALOGUE):
        add_item(world, f"{BODY_PREFIX}{index}", item.parts)


def add_textures(scene: ET.Element) -> None:
    """Append the textures that parts may name."""
    asset = scene.find("asset")
    if asset is None:
        asset = ET.SubElement(scene, "asset")
    for name, (builtin, mark, first, second) in _TEXTURES.items():
        ET.SubElement(
            asset,
            "texture",
            name=f"ood_{name}",
            type="cube",
            builtin=builtin,
            mark=mark,
            random="0.08",
            markrgb=numbers(second),
            rgb1=numbers(first),
            rgb2=numbers(second),
            width="32",
            height="32",
        )
        ET.SubElement(asset, "material", name=f"ood_{name}", texture=f"ood_{name}", specular="0.1")


def add_item(world: ET.Element, name: str, parts: Sequence[Part]) -> None:
    """Append a static, intangible body under the table, its geoms in the group that is not drawn."""
    body = ET.SubElement(world, "body", name=name, pos="0.5 0 -0.5")
    for part in parts:
        geom = ET.SubElement(
            body,
            "geom",
            type=part.shape,
            size=numbers(part.size_m),
            pos=numbers(part.pos_m),
            quat=numbers(_quaternion(part.euler_deg)),
            rgba=numbers((*PAINTS.get(part.paint, PAINTS["white"]), 1)),
            contype="0",
            conaffinity="0",
            mass="0",
            group=str(HIDDEN_GROUP),
        )
        if part.texture:
            geom.set("material", f"ood_{part.texture}")


def numbers(values: Sequence[float]) -> str:
    """Return numbers as MJCF wants them."""
    return " ".join(f"{float(v):.9g}" for v in values)


def _quaternion(euler_deg: tuple[float, float, float]) -> tuple[float, float, float, float]:
    """Return w, x, y, z of turns about the fixed axes x, y and z, in this order."""
    from math import cos, radians, sin

    (cx, sx), (cy, sy), (cz, sz) = ((cos(radians(a) / 2), sin(radians(a) / 2)) for a in euler_deg)
    return (
        cx * cy * cz + sx * sy * sz,
        sx * cy * cz - cx * sy * sz,
        cx * sy * cz + sx * cy * sz,
        cx * cy * sz - sx * sy * cz,
    )
