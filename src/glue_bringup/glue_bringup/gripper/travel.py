"""How the opening changes on its way: the model that says where the fingers are and when they arrive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Travel:
    """One motion at constant speed after a dead time; the whole stroke of 8 cm takes about a second.

    Attributes:
        from_m: Opening at its begin.
        to_m: Opening asked for.
        begin_s: When it was sent.
        speed_m_s: Change of the opening.
        dead_time_s: From the command until the fingers move.
    """

    from_m: float
    to_m: float
    begin_s: float
    speed_m_s: float
    dead_time_s: float

    @property
    def arrival_s(self) -> float:
        """When the fingers are there, unless an object is between them."""
        return self.begin_s + self.dead_time_s + abs(self.to_m - self.from_m) / self.speed_m_s

    def width_m(self, now_s: float) -> float:
        """Return the opening at one time."""
        way_m = max(0.0, now_s - self.begin_s - self.dead_time_s) * self.speed_m_s
        change_m = self.to_m - self.from_m
        return self.from_m + (min(way_m, change_m) if change_m >= 0.0 else max(-way_m, change_m))
