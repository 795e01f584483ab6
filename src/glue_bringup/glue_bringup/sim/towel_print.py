"""What is printed on the towel: sea creatures on azure in front, rings on a pale back, drawn from seeded noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from glue_bringup.sim.cache import cache_folder, write_whole

SIDE_PX = 512
AZURE_RGB = (58, 158, 236)
BACK_RGB = (188, 196, 222)

_RED_RGB, _WHITE_RGB, _INK_RGB, _RING_RGB = (150, 30, 36), (226, 230, 232), (28, 36, 60), (28, 44, 130)
_VERSION = "2"
_SEED = 11
_ROWS = _COLS = 4


def towel_print() -> Path:
    """Return a PNG of front (left half) and back (right half), made if missing."""
    path = cache_folder("towel") / f"print-{_VERSION}.png"
    if not path.exists():
        both = np.concatenate([_front(), _back()], axis=1)
        _, encoded = cv2.imencode(".png", both[:, :, ::-1])
        write_whole(path, encoded.tobytes())
    return path


def _front() -> UInt8[np.ndarray, "side side 3"]:
    """Shrimps, mussels and fish, small and far apart: nine tenths stay azure, as on the paper's towel."""
    rng = np.random.default_rng(_SEED)
    image = np.full((SIDE_PX, SIDE_PX, 3), AZURE_RGB, np.uint8)
    pitch = SIDE_PX / _ROWS
    for row in range(_ROWS):
        for col in range(_COLS):
            middle = (np.array([col, row]) + 0.5 + 0.25 * (row % 2 - 0.5)) * pitch
            middle += rng.uniform(-0.1, 0.1, 2) * pitch
            _creature(image, (row + 2 * col) % 3, middle, float(rng.uniform(0, 360)))
    return image


def _creature(image: np.ndarray, kind: int, middle: np.ndarray, angle_deg: float) -> None:
    x, y = (int(v) for v in middle)
    if kind == 0:  # a shrimp: a bent body
        cv2.ellipse(image, (x, y), (32, 19), angle_deg, 20, 200, _RED_RGB, 12, cv2.LINE_AA)
        cv2.ellipse(image, (x, y), (38, 25), angle_deg, 20, 110, _INK_RGB, 3, cv2.LINE_AA)
    elif kind == 1:  # a mussel
        cv2.ellipse(image, (x, y), (33, 14), angle_deg, 0, 360, _RED_RGB, -1, cv2.LINE_AA)
        cv2.ellipse(image, (x, y), (33, 14), angle_deg, 0, 360, _INK_RGB, 3, cv2.LINE_AA)
    else:  # a fish in outline
        cv2.ellipse(image, (x, y), (37, 12), angle_deg, 0, 360, _WHITE_RGB, -1, cv2.LINE_AA)
        cv2.ellipse(image, (x, y), (37, 12), angle_deg, 0, 360, _INK_RGB, 3, cv2.LINE_AA)


def _back() -> UInt8[np.ndarray, "side side 3"]:
    rng = np.random.default_rng(_SEED + 1)
    image = np.full((SIDE_PX, SIDE_PX, 3), BACK_RGB, np.uint8)
    for x, y in ((110, 120), (390, 100), (250, 260), (110, 400), (400, 390)):
        radius = int(rng.integers(28, 36))
        cv2.circle(image, (x, y), radius, _RING_RGB, 9, cv2.LINE_AA)
        cv2.line(image, (x - 95, y - 30), (x - 45, y - 12), _RING_RGB, 7, cv2.LINE_AA)
    return image
