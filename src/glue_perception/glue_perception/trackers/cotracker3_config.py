"""Settings of the CoTracker3 tracker. Holds no torch, so that every configuration can be read without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glue_perception.errors import ConfigError
from glue_perception.trackers.windowed_config import WindowedTrackerConfig

FEATURE_STRIDE = 4
"""The network's feature maps have a quarter of its input's size."""

MAX_SUPPORT_GRID = 32


@dataclass(frozen=True)
class CoTracker3Config(WindowedTrackerConfig):
    """Section `cotracker3` of the perception configuration. Code and weights of CoTracker3 are CC BY-NC 4.0.

    The licence allows NON-COMMERCIAL use only. Nothing of CoTracker is part of this project.

    Attributes:
        weights: File of the ONLINE model (`scaled_online.pth`, or the same as .safetensors); None takes it from the
            store of weights (`glue weights fetch cotracker3-online`). The window's length is read from
            it (16 frames, moved on by 8).
        input_height_px: Rows of the network's input, a multiple of 4. 384 x 512 is what it was trained with.
        input_width_px: Columns of the network's input, a multiple of 4.
        support_grid: Side of a grid of further points over the image that help the network; 0 for none. 6 is
            CoTracker's own choice.
        iterations: Refinements per window; CoTracker's own predictor uses 6. Fewer are faster.

    Raises:
        ConfigError: a number out of range.
    """

    weights: Path | None = None
    input_height_px: int = 384
    input_width_px: int = 512
    support_grid: int = 6
    iterations: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_height_px", "input_width_px"):
            value = getattr(self, name)
            if value < 32 or value % FEATURE_STRIDE:
                raise ConfigError(
                    f"{name} must be a multiple of {FEATURE_STRIDE} and at least 32, not {value}; "
                    f"the nearest is {max(32, round(value / FEATURE_STRIDE) * FEATURE_STRIDE)}"
                )
        if not 0 <= self.support_grid <= MAX_SUPPORT_GRID or self.support_grid == 1:
            raise ConfigError(f"support_grid must be 0 or 2..{MAX_SUPPORT_GRID}, not {self.support_grid}")
        if self.iterations < 1:
            raise ConfigError(f"iterations must be at least 1, not {self.iterations}")
