"""The table's wood and the walls' cloth, drawn from seeded noise."""

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
TONE_RGB = (208, 186, 152)
CLOTH_PX = (512, 1024)

_VERSION = "3"
_SEED = 7


def wood_texture() -> Path:
    """Return a PNG of the planks, made if missing."""
    path = cache_folder("wood") / f"planks-{_VERSION}.png"
    if not path.exists():
        _, encoded = cv2.imencode(".png", _planks()[:, :, ::-1])
        write_whole(path, encoded.tobytes())
    return path


def cloth_texture() -> Path:
    """Return a grey PNG of hanging cloth with soft folds, to be tinted by its geom; made if missing."""
    path = cache_folder("wood") / f"cloth-{_VERSION}.png"
    if not path.exists():
        _, encoded = cv2.imencode(".png", _folds())
        write_whole(path, encoded.tobytes())
    return path


def _folds() -> UInt8[np.ndarray, "rows cols"]:
    rng = np.random.default_rng(_SEED)
    folds = cv2.GaussianBlur(rng.normal(size=CLOTH_PX), (0, 0), sigmaX=14.0, sigmaY=160.0)
    dents = cv2.GaussianBlur(rng.normal(size=CLOTH_PX), (0, 0), sigmaX=22.0, sigmaY=40.0)
    weave = cv2.GaussianBlur(rng.normal(size=CLOTH_PX), (0, 0), sigmaX=1.0)
    shade = 0.84 + sum(k * n / n.std() for k, n in ((0.045, folds), (0.03, dents), (0.02, weave)))
    cloth: np.ndarray = np.clip(255.0 * shade, 0, 255).astype(np.uint8)
    return cloth


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
