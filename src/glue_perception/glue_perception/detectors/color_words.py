"""Colour words of a text query as regions of CIELAB (hue angle, chroma, lightness)."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from glue_perception.errors import QueryError


def saturation_of(lch: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape"]:
    """Return chroma / sqrt(chroma^2 + lightness^2), 0..1, of (L, C, h)."""
    saturation: np.ndarray = lch[..., 1] / np.maximum(np.hypot(lch[..., 0], lch[..., 1]), 1e-6)
    return saturation


@dataclass(frozen=True)
class ColorRegion:
    """A region of CIELAB that people call by one word.

    Hue decides for chromatic words; it is the coordinate that shadow and highlight change least. Chroma keeps
    grey things out. For white, grey and black, hue is meaningless and the whole circle is allowed.

    Attributes:
        hue_deg: From, to; counter-clockwise, may pass 0 (350, 50 is 60 degrees wide).
        chroma: Lowest and highest distance from grey.
        lightness: Lowest and highest L*, 0..100.
        min_saturation: Least chroma / sqrt(chroma^2 + L*^2), 0..1. Shading lowers chroma and lightness together
            and leaves this alone, so that a dark red cap is as red as a lit one.
    """

    hue_deg: tuple[float, float]
    chroma: tuple[float, float]
    lightness: tuple[float, float]
    min_saturation: float = 0.0

    @property
    def is_chromatic(self) -> bool:
        """Whether hue matters."""
        return self.hue_deg[1] - self.hue_deg[0] != 360.0

    def hue_distance_deg(self, hue_deg: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return how far each hue lies outside the region's hues, 0 inside."""
        if not self.is_chromatic:
            return np.zeros_like(hue_deg)
        width = (self.hue_deg[1] - self.hue_deg[0]) % 360.0
        middle = self.hue_deg[0] + width / 2.0
        apart = np.abs((hue_deg - middle + 180.0) % 360.0 - 180.0)
        outside: np.ndarray = np.maximum(apart - width / 2.0, 0.0)
        return outside

    def contains(
        self, lch: Float[np.ndarray, "*shape 3"], margin_deg: float = 0.0
    ) -> Bool[np.ndarray, "*shape"]:
        """Return which (L, C, h) lie inside.

        Args:
            lch: Lightness, chroma, hue angle in degrees.
            margin_deg: Hues up to this far outside are included; with a margin also half the least lightness,
                since an object's shaded side is darker as well as of another hue.
        """
        lightness, chroma = lch[..., 0], lch[..., 1]
        darkest = self.lightness[0] * (0.5 if margin_deg > 0.0 else 1.0)
        inside: np.ndarray = (
            (self.hue_distance_deg(lch[..., 2]) <= margin_deg)
            & (chroma >= self.chroma[0])
            & (chroma <= self.chroma[1])
            & (lightness >= darkest)
            & (lightness <= self.lightness[1])
            & (saturation_of(lch) >= self.min_saturation)
        )
        return inside


# Hues of sRGB's own colours, for orientation: red 40, orange 73, yellow 103, green 136, cyan 196, azure 262,
# blue 306, purple 328, pink 0 to 15. The limits lie half way between neighbours. Least chromas and saturations
# stand above wood (chroma 10 to 25 at hue 75 to 100, saturation up to 0.4) and grey cloth (chroma below 15).
REGIONS: dict[str, ColorRegion] = {
    "red": ColorRegion((350, 50), (18, 150), (5, 68), 0.45),
    "orange": ColorRegion((48, 80), (36, 150), (35, 90), 0.45),
    "yellow": ColorRegion((76, 113), (36, 150), (40, 100), 0.4),
    "green": ColorRegion((113, 180), (20, 150), (12, 95), 0.4),
    "cyan": ColorRegion((180, 235), (20, 150), (25, 98), 0.3),
    "blue": ColorRegion((230, 311), (22, 150), (4, 85), 0.35),
    "purple": ColorRegion((309, 345), (20, 150), (8, 85), 0.35),
    "pink": ColorRegion((325, 40), (18, 100), (58, 95)),
    "brown": ColorRegion((35, 80), (14, 48), (12, 48), 0.35),
    "white": ColorRegion((0, 360), (0, 15), (76, 100)),
    "gray": ColorRegion((0, 360), (0, 10), (30, 76)),
    "black": ColorRegion((0, 360), (0, 14), (0, 20)),
}

SYNONYMS = {
    "crimson": "red",
    "scarlet": "red",
    "golden": "yellow",
    "gold": "yellow",
    "lime": "green",
    "turquoise": "cyan",
    "teal": "cyan",
    "azure": "blue",
    "navy": "blue",
    "violet": "purple",
    "magenta": "pink",
    "grey": "gray",
}


def color_of(query: str) -> str:
    """Return the colour word of a query, synonyms resolved: "the crimson button" gives "red".

    Raises:
        QueryError: the query is empty, names no colour or names two; the message says what to write instead.
    """
    words = re.findall(r"[a-z]+", query.lower())
    if not words:
        raise QueryError(f"query {query!r} is empty; write a colour and a thing, e.g. 'red button'")
    named: list[str] = list(
        dict.fromkeys(SYNONYMS.get(word, word) for word in words if word in REGIONS or word in SYNONYMS)
    )
    if len(named) > 1:
        raise QueryError(
            f"query {query!r} names the colours {' and '.join(named)}; the color detector can look for one: "
            "write one query per object"
        )
    if not named:
        known = sorted(REGIONS)
        close = [m for word in words for m in difflib.get_close_matches(word, known, n=1, cutoff=0.65)]
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise QueryError(
            f"query {query!r} has no colour word, and the color detector knows things by colour alone; {hint}"
            f"known: {', '.join(known)}. Or choose another detector (detector: given)"
        )
    return named[0]
