"""Limits that all learnt trackers on windows of frames share."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class WindowedTrackerConfig:
    """How the answers of a network on windows become one answer per frame.

    Attributes:
        background: Whether the network runs in a thread of its own and `update` never waits for it. False: the
            network runs within `update`, bit for bit the same in every run (offline, or with a GPU that keeps up).
        min_visible_score: Least visibility times confidence of a point that is seen; 0.6 is CoTracker3's own.
        max_round_trip_px: Largest distance between a point and itself carried one frame forward and back by optical
            flow; at 480 rows, grows with the image.
        max_residual: Largest mean difference, in grey levels, between a window and where flow says it went.
        max_correction_px: A carried point within this distance of the network's answer for the same frame is moved
            over by the difference; one further off is carried anew from the answer. At 480 rows.
    """

    background: bool = True
    min_visible_score: float = 0.6
    max_round_trip_px: float = 1.0
    max_residual: float = 6.0
    max_correction_px: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.min_visible_score < 1.0:
            raise ConfigError(f"min_visible_score must lie between 0 and 1, not {self.min_visible_score}")
        for name in ("max_round_trip_px", "max_residual", "max_correction_px"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
