"""The embedded profile's detector: finds things by the colour word of the query. No weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.color import lab_from_rgb, lch_from_lab
from glue_perception.detectors.color_words import REGIONS, ColorRegion, color_of, saturation_of
from glue_perception.errors import ConfigError, QueryError
from glue_perception.types import Detection


@dataclass(frozen=True)
class ColorDetectorConfig:
    """Limits of the colour detector. Areas are shares of the image, so that they hold for every resolution.

    Attributes:
        min_area_share: Smallest object; 1e-4 is 6 x 5 px at 640 x 480.
        max_area_share: Largest object; what is larger is background.
        ambiguity_ratio: Refuse if the second best scores at least this share of the best.
        min_score: Refuse if the best scores less: a ragged stain of the colour, not an object.
        hue_margin_deg: How far an object may shade off into neighbouring hues (a yellow mango's red cheek).
        min_core_share: Least share of the object that must be of the colour itself.
    """

    min_area_share: float = 1e-4
    max_area_share: float = 0.25
    ambiguity_ratio: float = 0.85
    min_score: float = 0.2
    hue_margin_deg: float = 55.0
    min_core_share: float = 0.15

    def __post_init__(self) -> None:
        if not 0.0 < self.min_area_share < self.max_area_share <= 1.0:
            raise ConfigError(
                "min_area_share and max_area_share must satisfy 0 < min < max <= 1, not "
                f"{self.min_area_share}, {self.max_area_share}"
            )
        if not 0.0 < self.ambiguity_ratio <= 1.0 or not 0.0 <= self.min_score <= 1.0:
            raise ConfigError(
                f"ambiguity_ratio and min_score must lie in 0..1, not {self.ambiguity_ratio}, {self.min_score}"
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
    """Looks for the largest compact patch of the query's colour. Stateless and deterministic.

    The noun of the query is not understood: "red button" and "red block" look for the same thing, and two
    things of one colour are refused as ambiguous instead of guessed.
    """

    def __init__(self, config: ColorDetectorConfig | None = None) -> None:
        self._config = config or ColorDetectorConfig()

    def detect(self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]) -> list[Detection]:
        """Return one detection per query, in the order of the queries.

        Raises:
            QueryError: no queries; a query is empty or has no colour word; nothing of that colour is compact
                and large enough; two things match alike; two queries name the same colour.
        """
        if not queries:
            raise QueryError("there are no queries; give at least one, e.g. 'red button'")
        colors = [color_of(query) for query in queries]
        for index, color in enumerate(colors):
            if color in colors[:index]:
                raise QueryError(
                    f"queries {queries[colors.index(color)]!r} and {queries[index]!r} both mean the colour {color}; "
                    "the color detector cannot tell them apart: use detector: given, or one query per colour"
                )
        # A little smoothing joins what sensor noise and video compression tear apart.
        lch = lch_from_lab(lab_from_rgb(cv2.GaussianBlur(rgb, (3, 3), 0)))
        return [self._find(lch, query, color) for query, color in zip(queries, colors, strict=True)]

    def _find(self, lch: Float[np.ndarray, "height width 3"], query: str, color: str) -> Detection:
        candidates = self._candidates(lch, REGIONS[color])
        image_area = lch.shape[0] * lch.shape[1]
        fitting = [c for c in candidates if c.area_px <= self._config.max_area_share * image_area]
        if candidates and not fitting:
            raise QueryError(
                f"query {query!r}: the {color} area covers {candidates[0].area_px / image_area:.0%} of the image, "
                f"more than max_area_share {self._config.max_area_share:.0%}; move the camera back or raise it"
            )
        if not fitting:
            raise QueryError(
                f"query {query!r}: nothing {color} of at least {self._config.min_area_share * image_area:.0f} px "
                "is in the image; check that the object is in view and lit, or name another colour"
            )
        largest = max(c.area_px for c in fitting)
        ranked = sorted(fitting, key=lambda c: (-c.score(largest), c.box_xyxy_px))
        best = ranked[0]
        if best.score(largest) < self._config.min_score:
            raise QueryError(
                f"query {query!r}: the best {color} area, at {_text(best)}, is too ragged to be an object (score "
                f"{best.score(largest):.2f}, least {self._config.min_score}); {color} is common in this image: "
                "name another colour, or use detector: given"
            )
        if len(ranked) > 1 and ranked[1].score(largest) >= self._config.ambiguity_ratio * best.score(largest):
            raise QueryError(
                f"query {query!r} is ambiguous: {color} things at {_text(best)} and {_text(ranked[1])} (left, top, "
                "right, bottom in px) look alike; remove one, name another colour, or use detector: given"
            )
        return Detection(query, np.array(best.box_xyxy_px, float), min(1.0, best.score(largest)))

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


def _text(candidate: _Candidate) -> str:
    return str(list(candidate.box_xyxy_px))
