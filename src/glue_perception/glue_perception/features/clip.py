"""The full profile's features: CLIP ViT-B/16 (Radford et al. 2021) through transformers (paper, III-B 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from glue_perception.features.vit_grid import CLIP_MEAN, CLIP_STD, PatchEncoder, VitGridEncoder
from glue_perception.features.vit_grid_config import VitGridConfig
from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import import_networks, load_network


def clip_encoder(directory: Path, config: VitGridConfig, compute: Compute | None = None) -> VitGridEncoder:
    """Return CLIP's patch tokens as features of pixels: the last hidden state without CLS and without pooling.

    The weights are the ones that the policy's encoders load, from the same folder. OpenAI's CLIP was trained with
    QuickGELU; config.json says so.

    Args:
        directory: In Hugging Face's format, the whole CLIP or its vision half.
        config: How the image is cut.
        compute: Where it runs, in which numbers.

    Raises:
        WeightsError: the folder cannot be loaded.
    """
    transformers = import_networks("features clip")
    model: Any = load_network(transformers.CLIPVisionModel, directory, compute or Compute())

    def encode(image: Float[Tensor, "b 3 size size"]) -> Float[Tensor, "b patches channels"]:
        tokens: Tensor = model(pixel_values=image).last_hidden_state
        return tokens[:, 1:]

    vit = PatchEncoder(
        encode,
        model.config.image_size,
        model.config.hidden_size,
        CLIP_MEAN,
        CLIP_STD,
        model.device,
        model.dtype,
    )
    return VitGridEncoder(vit, config)
