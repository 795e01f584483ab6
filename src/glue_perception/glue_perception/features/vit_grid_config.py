"""How ViT features of pixels are computed."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class VitGridConfig:
    """The section `clip` of the perception configuration, for features `clip` and `open_clip`.

    Attributes:
        weights: Entry of the store.
        grid: The paper's N_grid: the image is cut into grid x grid sub-images. The paper gives no number; 4 makes a
            feature cell 9 px wide in its 512 x 512 images (CLIP ViT-B/16), half a cell of the key-patch grid.
        batch_size: Sub-images that are encoded at once; memory against speed, no influence on the result.
        max_pixels: Pixels of one mask that are described; of a larger mask every second, third ... pixel per row and
            column is. 20,000 vectors of 768 float32 take 61 MB, and K-means samples no more.
    """

    weights: str = "clip-vit-base-patch16"
    grid: int = 4
    batch_size: int = 4
    max_pixels: int = 20_000

    def __post_init__(self) -> None:
        for name, least in (("grid", 1), ("batch_size", 1), ("max_pixels", 100)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Dinov2GridConfig(VitGridConfig):
    """The section `dinov2` of the perception configuration; its keys are those of `VitGridConfig`."""

    weights: str = "dinov2-base"
