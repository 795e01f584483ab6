"""The embedded profile's detector: finds things by the colour word of the query. No weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.color import lab_from_rgb, lch_from_lab
from glue_perception.detectors.base import ScoreLimits
from glue_perception.detectors.color_words import REGIONS, ColorRegion, color_of, saturation_of
from glue_perception.errors import ConfigError, QueryError
from glue_perception.preflight import RefusalReason
from glue_perception.types import Detection


@dataclass(frozen=True)
class ColorDetectorConfig:
    """Limits of the colour detector. Areas are shares of the image, so that they hold for every resolution.

    Attributes:
        min_area_share: Smallest object; 1e-4 is 6 x 5 px at 640 x 480.
        max_area_share: Largest object; what is larger is background.
        hue_margin_deg: How far an object may shade off into neighbouring hues (a yellow mango's red cheek).
        min_core_share: Least share of the object that must be of the colour itself.
    """

    min_area_share: float = 1e-4
    max_area_share: float = 0.25
    hue_margin_deg: float = 55.0
    min_core_share: float = 0.15

    def __post_init__(self) -> None:
        if not 0.0 < self.min_area_share < self.max_area_share <= 1.0:
            raise ConfigError(
                "min_area_share and max_area_share must satisfy 0 < min < max <= 1, not "
                f"{self.min_area_share}, {self.max_area_share}"
            )
        if not 0.0 <= self.hue_margin_deg <= 90.0 or not 0.0 < self.min_core_share <= 1.0:
            raise ConfigError(
                "hue_margin_deg must lie in 0..90 and min_core_share in 0..1, not "
                f"{self.hue_margin_deg}, {self.min_core_share}"
            )


@dataclass(frozen=True)
class _Candidate:
    box_xyxy_px: tuple[int, int, int, int]
    area_px: int
    purity: float
    compactness: float

    def score(self, largest_area_px: int) -> float:
        # Shape counts twice, as objects are compact and spilt colour is not. Size counts by its fourth root: a
        # thing of a sixteenth of the area needs to look twice as good.
        return float(self.purity * self.compactness**2 * (self.area_px / largest_area_px) ** 0.25)


class ColorDetector:
    """Looks for compact patches of the query's colour, the larger the better. Stateless and deterministic.

    The noun of the query is not understood: "red button" and "red block" look for the same thing, and two
    things of one colour are refused as ambiguous instead of guessed.
    """

    score_limits = ScoreLimits(min_score=0.2, ambiguity_ratio=0.85)
    """What scores below 0.2 is a ragged stain of the colour, not an object. On the paper's public clips the right
    object scores 0.3 to 0.9 and what stands beside it at most 0.8 of that."""

    def __init__(self, config: ColorDetectorConfig | None = None) -> None:
        self._config = config or ColorDetectorConfig()

    def propose(
        self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]
    ) -> list[list[Detection]]:
        """Return the patches of each query's colour within the limits of size, best first.

        Raises:
            QueryError: no queries, or a query is empty, has no colour word or two.
        """
        if not queries:
            raise QueryError("there are no queries; give at least one, e.g. 'red button'")
        colors = [color_of(query) for query in queries]
        lch = _smooth_lch(rgb)
        return [self._ranked(lch, query, color) for query, color in zip(queries, colors, strict=True)]

    def hint(self, reason: RefusalReason, rgb: UInt8[np.ndarray, "height width 3"], query: str) -> str:
        """Return the cause and the remedy in terms of colour; see `Detector.hint`."""
        color = color_of(query)
        if reason is RefusalReason.ABSENT:
            return self._why_none(rgb, color)
        if reason is RefusalReason.LOW_SCORE:
            return (
                f"it is too ragged to be an object, and {color} is common in this image: name another colour, or use "
                "detector: given"
            )
        if reason is RefusalReason.AMBIGUOUS:
            return (
                f"both are {color}, which is all that the color detector knows: remove one, name another colour, or "
                "use detector: given"
            )
        return (
            f"the color detector knows {query!r} as something {color} and cannot tell them apart: use one query per "
            "colour, or detector: given"
        )

    def _ranked(self, lch: Float[np.ndarray, "height width 3"], query: str, color: str) -> list[Detection]:
        image_area = lch.shape[0] * lch.shape[1]
        fitting = [
            c
            for c in self._candidates(lch, REGIONS[color])
            if c.area_px <= self._config.max_area_share * image_area
        ]
        largest = max((c.area_px for c in fitting), default=1)
        ranked = sorted(fitting, key=lambda c: (-c.score(largest), c.box_xyxy_px))
        return [Detection(query, np.array(c.box_xyxy_px, float), min(1.0, c.score(largest))) for c in ranked]

    def _why_none(self, rgb: UInt8[np.ndarray, "height width 3"], color: str) -> str:
        image_area = rgb.shape[0] * rgb.shape[1]
        too_large = self._candidates(_smooth_lch(rgb), REGIONS[color])
        if too_large:
            return (
                f"the {color} area covers {too_large[0].area_px / image_area:.0%} of the image, more than "
                f"max_area_share {self._config.max_area_share:.0%}; move the camera back or raise it"
            )
        return (
            f"nothing {color} of at least {self._config.min_area_share * image_area:.0f} px is in the image; check "
            "that the object is in view and lit, or name another colour"
        )

    def _candidates(self, lch: Float[np.ndarray, "height width 3"], region: ColorRegion) -> list[_Candidate]:
        core = _cleaned(region.contains(lch))
        wide = core
        if region.is_chromatic:
            wide = _cleaned(region.contains(lch, self._config.hue_margin_deg)) | core
        weight = _membership(lch, region) * core
        found: list[_Candidate] = []
        for component in (wide, core):
            for mask, box in _components(component, self._config.min_area_share * core.size):
                x0, y0, x1, y1 = box
                own_core = core[y0:y1, x0:x1] & mask
                if own_core.sum() < self._config.min_area_share * core.size:
                    continue
                # A wide component that is mostly other hues has leaked into the background: its core stands alone.
                if component is wide and own_core.sum() < self._config.min_core_share * mask.sum():
                    continue
                if any(_inside(box, other.box_xyxy_px) for other in found):
                    continue
                purity = float(weight[y0:y1, x0:x1][own_core].mean())
                found.append(_Candidate(box, int(mask.sum()), purity, _compactness(mask)))
        return sorted(found, key=lambda c: -c.area_px)


def _smooth_lch(rgb: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    # A little smoothing joins what sensor noise and video compression tear apart.
    return lch_from_lab(lab_from_rgb(cv2.GaussianBlur(rgb, (3, 3), 0)))


def _cleaned(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    # Closing only: opening would delete objects of a few pixels' width.
    closed: np.ndarray = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return closed.astype(bool)


def _membership(
    lch: Float[np.ndarray, "height width 3"], region: ColorRegion
) -> Float[np.ndarray, "height width"]:
    """Return 0..1: how strongly each pixel is of the colour, for pixels known to lie inside the region."""
    if not region.is_chromatic:
        low, high = region.lightness
        span = (lch[..., 0] - low) / (high - low)
        return np.clip(0.5 + 0.5 * (1.0 - span if low == 0 else span), 0.0, 1.0)
    # Paints, plastics and cloth reach a saturation of 0.7; more of it says nothing more.
    strength: np.ndarray = np.clip(saturation_of(lch) / 0.7, 0.0, 1.0)
    return strength


def _components(
    mask: Bool[np.ndarray, "height width"], min_area_px: float
) -> list[tuple[Bool[np.ndarray, "rows cols"], tuple[int, int, int, int]]]:
    """Return the connected components of at least `min_area_px`: the mask inside the box, and the box."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    labels_: Int[np.ndarray, "height width"] = labels
    found = []
    for label in range(1, len(stats)):
        x, y, width, height, area = (int(v) for v in stats[label])
        if area >= min_area_px:
            box = (x, y, x + width, y + height)
            found.append((labels_[y : y + height, x : x + width] == label, box))
    return found


def _compactness(mask: Bool[np.ndarray, "rows cols"]) -> float:
    """Return 0..1: share of the convex hull, holes filled, times the root of the least rectangle's aspect."""
    contours, _ = cv2.findContours(np.pad(mask, 1).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(contours)
    filled_area = cv2.drawContours(
        np.zeros(np.pad(mask, 1).shape, np.uint8), contours, -1, 1, cv2.FILLED
    ).sum()
    (_, (width, height), _) = cv2.minAreaRect(points)
    hull_area = (
        cv2.contourArea(cv2.convexHull(points)) + 0.5 * cv2.arcLength(cv2.convexHull(points), True) + 1.0
    )
    aspect = (min(width, height) + 1.0) / (max(width, height) + 1.0)
    return float(min(1.0, filled_area / hull_area) * np.sqrt(aspect))


def _inside(inner: tuple[int, int, int, int], outer: tuple[int, int, int, int]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
