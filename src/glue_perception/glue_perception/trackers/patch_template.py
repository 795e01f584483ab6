"""How alike two small image patches are, whatever the light: the memory of a point tracker."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

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

_QUADRANT_SIGNS = ((-1, -1), (1, -1), (-1, 1), (1, 1))


@dataclass(frozen=True, eq=False)
class PatchTemplates:
    """Patches of n points in a form ready for comparison.

    Attributes:
        structure: Lightness with its plane taken out, windowed; what a shadow's soft edge cannot change.
        chromaticity: (a*, b*) / (L* + 16), which does not change with the amount of light.
        lightness: Mean of L* + 16.
        quadrant_lightness: The same of each quadrant.
    """

    structure: Float[np.ndarray, "n pixels"]
    chromaticity: Float[np.ndarray, "n pixels 2"]
    lightness: Float[np.ndarray, "n"]
    quadrant_lightness: Float[np.ndarray, "n 4"]

    def blended(self, other: PatchTemplates, weight: Float[np.ndarray, "n"]) -> PatchTemplates:
        """Return templates moved towards `other` by `weight` (0..1) per point."""
        w = weight[:, None]
        return PatchTemplates(
            structure=(1 - w) * self.structure + w * other.structure,
            chromaticity=(1 - w[..., None]) * self.chromaticity + w[..., None] * other.chromaticity,
            lightness=(1 - weight) * self.lightness + weight * other.lightness,
            quadrant_lightness=(1 - w) * self.quadrant_lightness + w * other.quadrant_lightness,
        )

    def take(self, index: Int[np.ndarray, "k"]) -> PatchTemplates:
        """Return the templates of some points, repeated as often as `index` names them."""
        return PatchTemplates(
            self.structure[index],
            self.chromaticity[index],
            self.lightness[index],
            self.quadrant_lightness[index],
        )

    def replaced(self, index: Int[np.ndarray, "k"], other: PatchTemplates) -> PatchTemplates:
        """Return templates in which those of `index` are the k of `other`."""
        parts = []
        for name in ("structure", "chromaticity", "lightness", "quadrant_lightness"):
            part = getattr(self, name).copy()
            part[index] = getattr(other, name)
            parts.append(part)
        return PatchTemplates(*parts)


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
        quadrants = [
            self._weight * (grid_x * dx >= 0).ravel() * (grid_y * dy >= 0).ravel()
            for dx, dy in _QUADRANT_SIGNS
        ]
        self._quadrant_weight = np.stack([q / q.sum() for q in quadrants], axis=1)
        self._parts = np.concatenate([self._weight[:, None], self._quadrant_weight], axis=1)
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
            quadrant_lightness=lab[..., 0] @ self._quadrant_weight + 16.0,
        )

    def similarity(self, a: PatchTemplates, b: PatchTemplates) -> Float[np.ndarray, "n"]:
        """Return 0..1 per point: normalised correlation times agreement of colour and of lightness.

        Colour must agree in the whole window and in each of its quadrants: where a cloth's corner has slid away from
        the edge of a table, three quadrants still look the same.

        Args:
            a: What is seen.
            b: What was remembered; its colour decides how much a shadow may change.
        """
        colorfulness = _length(b.chromaticity)
        strength = np.minimum(1.0, colorfulness @ self._weight)
        floor = (_NOISE_LIGHTNESS + _SHADOW_LIGHTNESS * strength) ** 2
        energy = (np.sum(a.structure**2, axis=1) + floor) * (np.sum(b.structure**2, axis=1) + floor)
        correlation = (np.sum(a.structure * b.structure, axis=1) + floor) / np.sqrt(energy)
        gap = _length(a.chromaticity - b.chromaticity)
        light_gap = np.log(a.lightness / b.lightness)
        alike: np.ndarray = (
            np.clip(correlation, 0.0, 1.0)
            * _color_agreement(gap, colorfulness, self._parts)
            * np.exp(-((light_gap / _LIGHTNESS_LOG_SCALE) ** 2))
        )
        return alike


def _length(vectors: Float[np.ndarray, "n pixels 2"]) -> Float[np.ndarray, "n pixels"]:
    # Twice as fast as np.linalg.norm on so short an axis, and most of a frame's time is spent here.
    length: np.ndarray = np.sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2)
    return length


def _color_agreement(
    gap: Float[np.ndarray, "n pixels"],
    colorfulness: Float[np.ndarray, "n pixels"],
    weights: Float[np.ndarray, "pixels parts"],
) -> Float[np.ndarray, "n"]:
    """Return how well colours agree, 0..1, in that part of the window where they agree least."""
    # A strong colour varies by more: shade and highlight bend it before anything else could take its place.
    scale = _CHROMATICITY_SCALE * (1.0 + np.minimum(1.0, colorfulness @ weights))
    agreement: np.ndarray = np.exp(-(((gap @ weights) / scale) ** 2)).min(axis=1)
    return agreement


def uneven_light(a: PatchTemplates, b: PatchTemplates) -> Float[np.ndarray, "n"]:
    """Return by how much the light of one quadrant has changed otherwise than that of the others (log ratio).

    A shadow changes all quadrants of so small a window alike (below 0.1 in real video); an occluder's edge that
    has taken the place of one of two edges at a corner changes one or two of them (above 0.2).
    """
    ratio = np.log(a.quadrant_lightness / b.quadrant_lightness)
    spread: np.ndarray = np.abs(ratio - np.median(ratio, axis=1, keepdims=True)).max(axis=1)
    return spread
