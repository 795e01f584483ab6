"""How alike two small image patches are, whatever the light: the memory of a point tracker."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from glue_perception.color import lab_from_rgb

PATCH_SIDE = 11
"""Samples along a patch's side; their spacing in px grows with the image."""

_NOISE_LIGHTNESS = 2.5
"""Sensor and video noise in L*. Structure weaker than this counts as flat, and flat is like flat."""

_SHADOW_LIGHTNESS = 6.0
"""What a shadow's edge adds to that on a strongly coloured patch, whose colour already says what it is."""

_CHROMATICITY_SCALE = 0.35
"""Difference at which colour similarity has fallen to 1/e: party light on wood is 0.3, red to white is 1."""

_LIGHTNESS_LOG_SCALE = 0.6
"""A deep shadow (0.4 of the light) is 0.3, white to black is over 1."""


@dataclass(frozen=True, eq=False)
class PatchTemplates:
    """Patches of n points in a form ready for comparison.

    Attributes:
        structure: Lightness with its plane taken out, windowed; what a shadow's soft edge cannot change.
        chromaticity: (a*, b*) / (L* + 16), which does not change with the amount of light.
        lightness: Mean of L* + 16.
    """

    structure: Float[np.ndarray, "n pixels"]
    chromaticity: Float[np.ndarray, "n pixels 2"]
    lightness: Float[np.ndarray, "n"]

    def blended(self, other: PatchTemplates, weight: Float[np.ndarray, "n"]) -> PatchTemplates:
        """Return templates moved towards `other` by `weight` (0..1) per point."""
        w = weight[:, None]
        return PatchTemplates(
            structure=(1 - w) * self.structure + w * other.structure,
            chromaticity=(1 - w[..., None]) * self.chromaticity + w[..., None] * other.chromaticity,
            lightness=(1 - weight) * self.lightness + weight * other.lightness,
        )


class PatchSampler:
    """Cuts patches out of images of one size. Immutable."""

    def __init__(self, spacing_px: float) -> None:
        steps = np.arange(PATCH_SIDE) - PATCH_SIDE // 2
        grid_y, grid_x = np.meshgrid(steps, steps, indexing="ij")
        self._offset_px = np.stack([grid_x, grid_y], axis=-1).reshape(-1, 2) * spacing_px
        # The centre counts most: at an object's rim the outer samples are background.
        weight = np.exp(-(grid_x**2 + grid_y**2) / (2 * (PATCH_SIDE / 3) ** 2)).ravel()
        self._weight = weight / weight.sum()
        self._root_weight = np.sqrt(self._weight)
        plane = np.stack([np.ones(PATCH_SIDE**2), grid_x.ravel(), grid_y.ravel()], axis=1)
        self._plane, _ = np.linalg.qr(plane * self._root_weight[:, None])

    def sample(
        self, rgb: UInt8[np.ndarray, "height width 3"], xy_px: Float[np.ndarray, "n 2"]
    ) -> PatchTemplates:
        """Return the patches around points; outside the image its border is repeated."""
        where = (xy_px[:, None] + self._offset_px).astype(np.float32)
        patches = cv2.remap(
            rgb, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        lab = lab_from_rgb(patches).astype(np.float64)
        windowed = lab[..., 0] * self._root_weight
        return PatchTemplates(
            structure=windowed - (windowed @ self._plane) @ self._plane.T,
            chromaticity=lab[..., 1:] / (np.maximum(lab[..., :1], 10.0) + 16.0),
            lightness=lab[..., 0] @ self._weight + 16.0,
        )

    def similarity(self, a: PatchTemplates, b: PatchTemplates) -> Float[np.ndarray, "n"]:
        """Return 0..1 per point: normalised correlation times agreement of colour and of lightness.

        Args:
            a: What is seen.
            b: What was remembered; its colour decides how much a shadow may change.
        """
        strength = np.minimum(1.0, np.linalg.norm(b.chromaticity, axis=2) @ self._weight)
        floor = (_NOISE_LIGHTNESS + _SHADOW_LIGHTNESS * strength) ** 2
        energy = (np.sum(a.structure**2, axis=1) + floor) * (np.sum(b.structure**2, axis=1) + floor)
        correlation = (np.sum(a.structure * b.structure, axis=1) + floor) / np.sqrt(energy)
        # A strong colour varies by more: shade and highlight bend it before anything else could take its place.
        color_scale = _CHROMATICITY_SCALE * (1.0 + strength)
        color_gap = np.linalg.norm(a.chromaticity - b.chromaticity, axis=2) @ self._weight
        light_gap = np.log(a.lightness / b.lightness)
        alike: np.ndarray = (
            np.clip(correlation, 0.0, 1.0)
            * np.exp(-((color_gap / color_scale) ** 2))
            * np.exp(-((light_gap / _LIGHTNESS_LOG_SCALE) ** 2))
        )
        return alike
