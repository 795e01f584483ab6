"""Choices of the SAM segmenters."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class SamConfig:
    """The `sam` section of the perception configuration, for `sam` and `segment_anything`.

    Attributes:
        weights: Entry of the store, for `sam`.
        package_weights: Entry of the store, for `segment_anything`.
        min_part_share: Parts of a mask smaller than this share of its largest are dropped as specks; the paper does
            not say. What hides the middle of an object may leave two real parts.
    """

    weights: str = "sam-vit-base"
    package_weights: str = "sam-vit-base-original"
    min_part_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_part_share <= 1.0:
            raise ConfigError(f"min_part_share must lie in 0..1, not {self.min_part_share}")
