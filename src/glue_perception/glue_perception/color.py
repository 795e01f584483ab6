"""Perceptual colour: RGB to CIELAB and its polar form."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def lab_from_rgb(rgb: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    """Return CIELAB (D65): L* 0..100, a* and b* about -110..110, float32."""
    lab: np.ndarray = cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    return lab


def lch_from_lab(lab: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    """Return lightness, chroma and hue angle (degrees, 0..360)."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue_deg = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360.0
    return np.stack([lab[..., 0], chroma, hue_deg], axis=-1)
