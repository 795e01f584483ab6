"""DINOv2 (Oquab et al. 2023) as features of pixels, through transformers: the paper's alternative to CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from glue_perception.features.vit_grid import IMAGENET_MEAN, IMAGENET_STD, PatchEncoder, VitGridEncoder
from glue_perception.features.vit_grid_config import VitGridConfig
from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import import_networks, load_network

_PATCHES_PER_SIDE = 16
"""224 px of 14 px each. DINOv2 was trained at 518 px too, but its sub-images here are no larger than that."""


def dinov2_encoder(directory: Path, config: VitGridConfig, compute: Compute | None = None) -> VitGridEncoder:
    """Return DINOv2's patch tokens, after its last normalisation, as features of pixels.

    Args:
        directory: In Hugging Face's format.
        config: How the image is cut.
        compute: Where it runs, in which numbers.

    Raises:
        WeightsError: the folder cannot be loaded.
    """
    transformers = import_networks("features dinov2")
    model: Any = load_network(transformers.Dinov2Model, directory, compute or Compute())

    def encode(image: Float[Tensor, "b 3 size size"]) -> Float[Tensor, "b patches channels"]:
        tokens: Tensor = model(pixel_values=image).last_hidden_state
        return tokens[:, 1:]

    size_px = _PATCHES_PER_SIDE * model.config.patch_size
    vit = PatchEncoder(
        encode, size_px, model.config.hidden_size, IMAGENET_MEAN, IMAGENET_STD, model.device, model.dtype
    )
    return VitGridEncoder(vit, config)
