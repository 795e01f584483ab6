"""Limits of the Lucas-Kanade tracker."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class LucasKanadeConfig:
    """Limits of the tracker. Pixels are at 480 rows and grow with the image.

    Attributes:
        window_px: Side of the window that is followed; half of it hangs over the rim of a small button.
        levels: Pyramid levels above the image; 3 follow some 40 px of motion per frame.
        max_round_trip_px: Largest distance between a point and itself tracked forward and back.
        max_residual: Largest mean difference, in grey levels, between a window and where flow says it went. An
            occluder's edge moving into the window cannot be explained by any motion of the window.
        max_deviation_px: How far a point may leave the common motion of its object in one frame; plus half of
            that motion, as cloth folds and perspective stretches.
        hide_similarity: A visible point below this is hidden.
        show_similarity: A hidden point above this is visible again; higher, so that it does not flicker.
        search_px: How far from its remembered place a hidden point is looked for.
        adaptation: Step of the second template towards what is seen, per frame.
    """

    window_px: float = 21.0
    levels: int = 3
    max_round_trip_px: float = 1.0
    max_residual: float = 6.0
    max_deviation_px: float = 2.0
    hide_similarity: float = 0.45
    show_similarity: float = 0.6
    search_px: float = 8.0
    adaptation: float = 0.05

    def __post_init__(self) -> None:
        if self.window_px < 5 or not 0 <= self.levels <= 6:
            raise ConfigError(
                f"window_px must be 5 or more and levels 0..6, not {self.window_px}, {self.levels}"
            )
        if min(self.max_round_trip_px, self.max_residual, self.max_deviation_px, self.search_px) <= 0:
            raise ConfigError(
                "max_round_trip_px, max_residual, max_deviation_px and search_px must be positive"
            )
        if not 0.0 < self.hide_similarity <= self.show_similarity < 1.0:
            raise ConfigError(
                "similarities must satisfy 0 < hide_similarity <= show_similarity < 1, not "
                f"{self.hide_similarity}, {self.show_similarity}"
            )
        if not 0.0 <= self.adaptation <= 1.0:
            raise ConfigError(f"adaptation must lie in 0..1, not {self.adaptation}")
