"""The table's wood: light planks with grain, drawn from seeded noise."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from glue_bringup.sim.cache import cache_folder, write_whole

SIZE_PX = (768, 1152)
"""Rows run along the table's x, columns along its y, in which the planks lie."""

PLANKS = 8
TONE_RGB = (205, 178, 140)

_VERSION = "2"
_SEED = 7


def wood_texture() -> Path:
    """Return a PNG of the planks, made if missing."""
    path = cache_folder("wood") / f"planks-{_VERSION}.png"
    if not path.exists():
        _, encoded = cv2.imencode(".png", _planks()[:, :, ::-1])
        write_whole(path, encoded.tobytes())
    return path


def _planks() -> UInt8[np.ndarray, "rows cols 3"]:
    rng = np.random.default_rng(_SEED)
    rows, cols = SIZE_PX
    edges = np.linspace(0, rows, PLANKS + 1).round().astype(int)
    brightness = np.empty(SIZE_PX)
    for top, bottom in pairwise(edges):
        plank = 1.0 + rng.uniform(-0.045, 0.045) + _grain(rng, bottom - top, cols)
        plank[:2] *= 0.80  # the seam
        brightness[top:bottom] = plank
    warm = np.array(TONE_RGB) * brightness[:, :, None]
    # Darker wood is also redder.
    warm[:, :, 2] *= np.clip(0.25 + 0.75 * brightness, 0.0, 1.1)
    return np.clip(warm, 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, rows: int, cols: int) -> Float[np.ndarray, "rows cols"]:
    """Return fine streaks along the plank and a few broad, wandering bands; about 5 % strong."""
    fine = cv2.GaussianBlur(rng.normal(size=(rows, cols)), (0, 0), sigmaX=45.0, sigmaY=0.7)
    broad = cv2.GaussianBlur(rng.normal(size=(rows, cols)), (0, 0), sigmaX=160.0, sigmaY=7.0)
    grain: np.ndarray = 0.030 * fine / fine.std() + 0.028 * broad / broad.std()
    return grain
