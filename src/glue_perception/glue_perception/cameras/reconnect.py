"""When a live camera counts as lost, and how patiently it is looked for."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.errors import ConfigError

_RANGES_S: dict[str, tuple[float, float]] = {
    "first_frame_timeout_s": (0.1, 120.0),
    "stall_timeout_s": (0.1, 60.0),
    "first_wait_s": (0.01, 60.0),
    "max_wait_s": (0.01, 600.0),
}


@dataclass(frozen=True)
class ReconnectConfig:
    """Silence and waits of a live camera.

    Attributes:
        first_frame_timeout_s: How long a new connection may take to give its first frame.
        stall_timeout_s: Silence after which a stream is taken for lost and opened anew.
        first_wait_s: Wait after the first failed attempt to connect; it doubles with every further one.
        max_wait_s: Longest wait between two attempts.

    Raises:
        ConfigError: a value is out of range, or the longest wait is shorter than the first.
    """

    first_frame_timeout_s: float = 10.0
    stall_timeout_s: float = 2.0
    first_wait_s: float = 0.5
    max_wait_s: float = 5.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES_S.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} must lie in {low:g}..{high:g} s, not {value:g}")
        if self.max_wait_s < self.first_wait_s:
            raise ConfigError(
                f"max_wait_s must be at least first_wait_s ({self.first_wait_s:g} s), not {self.max_wait_s:g}"
            )

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row: not at all after none."""
        return min(self.first_wait_s * 2.0 ** min(failures - 1, 30), self.max_wait_s) if failures > 0 else 0.0
