"""Limits of the Lucas-Kanade tracker."""

from __future__ import annotations

from dataclasses import dataclass, fields

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class LucasKanadeConfig:
    """Limits of the tracker. Pixels are at 480 rows and grow with the image; similarities are 0..1.

    The values come from points labelled by hand in real video (docs/tracking_benchmark.md): the true places of
    visible points and the best rivals of hidden ones were measured, and each limit lies in the gap.

    Attributes:
        window_px: Side of the window that is followed.
        narrow_window_px: Side of a second one, for points on a rim, where half of the wide one is background.
        levels: Pyramid levels above the image; 3 follow some 40 px of motion per frame.
        max_round_trip_px: Largest distance between a point and itself tracked forward and back.
        max_residual: Largest mean difference, in grey levels, between a window and where flow says it went. An
            occluder's edge moving into the window cannot be explained by any motion of the window.
        max_deviation_px: How far a point may leave the common motion of its object in one frame; plus half of
            that motion, as cloth folds and perspective stretches.
        hide_similarity: A visible point below this is hidden.
        show_similarity: A hidden point above this is visible again; higher, so that it does not flicker.
        return_similarity: The same away from where the point was last seen; higher again.
        context_similarity: Least similarity of the surroundings (three times as wide) for a point away from its
            resting place that no other point of its object bears out.
        max_uneven_light: Largest `uneven_light` of such a point.
        min_texture: Least texture of such a point, grey levels per px across the weakest direction. A spot on a
            straight edge or a plain board slides along whatever passes.
        search_px: How far from its remembered place a hidden point is looked for.
        adaptation: Step of the second template towards what is seen, per frame.
    """

    window_px: float = 21.0
    narrow_window_px: float = 11.0
    levels: int = 3
    max_round_trip_px: float = 1.0
    max_residual: float = 6.0
    max_deviation_px: float = 2.0
    hide_similarity: float = 0.45
    show_similarity: float = 0.6
    return_similarity: float = 0.75
    context_similarity: float = 0.2
    max_uneven_light: float = 0.18
    min_texture: float = 4.0
    search_px: float = 10.0
    adaptation: float = 0.05

    def __post_init__(self) -> None:
        for item in fields(self):
            if not getattr(self, item.name) >= 0:
                raise ConfigError(f"{item.name} must not be negative, but is {getattr(self, item.name)}")
        if self.window_px < 5 or self.narrow_window_px < 5 or self.levels > 6:
            raise ConfigError(
                "window_px and narrow_window_px must be 5 or more and levels 0..6, not "
                f"{self.window_px}, {self.narrow_window_px}, {self.levels}"
            )
        if min(self.max_round_trip_px, self.max_residual, self.max_deviation_px, self.search_px) <= 0:
            raise ConfigError(
                "max_round_trip_px, max_residual, max_deviation_px and search_px must be positive"
            )
        if not 0.0 < self.hide_similarity <= self.show_similarity <= self.return_similarity < 1.0:
            raise ConfigError(
                "similarities must satisfy 0 < hide_similarity <= show_similarity <= return_similarity < 1, not "
                f"{self.hide_similarity}, {self.show_similarity}, {self.return_similarity}"
            )
        if self.adaptation > 1.0 or self.context_similarity > 1.0:
            raise ConfigError(
                "adaptation and context_similarity must lie in 0..1, not "
                f"{self.adaptation}, {self.context_similarity}"
            )
