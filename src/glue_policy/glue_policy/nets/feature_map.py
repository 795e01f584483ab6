"""Images to feature maps by any of the encoders, for the policies that read maps (DP, ACT)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glue_perception.errors import ConfigError
from glue_policy.nets.full_precision import full_precision
from glue_policy.nets.resnet import IMAGENET_MEAN, IMAGENET_STD, Norm, ResNet
from glue_policy.nets.vit import TOKENS_PER_SIDE, ClipVit, ImageNormalisation, SmallVit


class MapEncoder(StrEnum):
    """Which encoder: `resnet` (its size by `widths` and `blocks`), `clip` (ViT-B/16), or `small` (a small ViT)."""

    RESNET = "resnet"
    CLIP = "clip"
    SMALL = "small"


@dataclass(frozen=True)
class FeatureMapConfig:
    """One image encoder; the defaults are ResNet-18 with group norm, as in Diffusion Policy.

    Attributes:
        encoder: See `MapEncoder`.
        widths: Channels of the ResNet's stages, multiples of 16.
        blocks: Residual blocks of the ResNet's stages.
        norm: Of the ResNet.
        vit_dim: Token width of the small ViT.
        vit_depth: Layers of the small ViT.
        vit_heads: Heads of the small ViT.

    Raises:
        ConfigError: an impossible value; the message gives it.
    """

    encoder: MapEncoder = MapEncoder.RESNET
    widths: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    norm: Norm = Norm.GROUP
    vit_dim: int = 128
    vit_depth: int = 3
    vit_heads: int = 4

    def __post_init__(self) -> None:
        if not self.widths or any(width < 16 or width % 16 for width in self.widths):
            raise ConfigError(f"widths must be multiples of 16, not {self.widths}")
        if len(self.blocks) != len(self.widths) or any(count < 1 for count in self.blocks):
            raise ConfigError(
                f"blocks must give a number for each of widths {self.widths}, not {self.blocks}"
            )
        if self.vit_depth < 1:
            raise ConfigError(f"vit_depth must be at least 1, not {self.vit_depth}")
        if self.vit_heads < 1 or self.vit_dim < 1 or self.vit_dim % self.vit_heads:
            raise ConfigError(
                f"vit_dim {self.vit_dim} must be a multiple of vit_heads, which is {self.vit_heads}"
            )

    @property
    def is_resnet18(self) -> bool:
        """Whether the ResNet is the one that pretrained weights are published of."""
        return self.widths == (64, 128, 256, 512) and self.blocks == (2, 2, 2, 2)

    def map_side(self, image_px: int) -> int:
        """Return the side of the feature map of a square image.

        Raises:
            ConfigError: this encoder takes no such image.
        """
        wanted = {MapEncoder.CLIP: ClipVit.size_px, MapEncoder.SMALL: SmallVit.size_px}.get(self.encoder)
        if wanted is not None:
            if image_px != wanted:
                raise ConfigError(f"encoder {self.encoder} takes images of {wanted} px, not {image_px}")
            return TOKENS_PER_SIDE
        side = image_px
        for _ in range(len(self.widths) + 1):
            side = (side + 1) // 2
        if image_px < 16 or side < 2:
            raise ConfigError(
                f"an image of {image_px} px leaves a feature map of side {side} after {len(self.widths)} stages"
            )
        return side


class FeatureMap(nn.Module):
    """Normalises an image in 0..255 and encodes it.

    Args:
        config: See `FeatureMapConfig`.
        weights: Directory of pretrained weights of ResNet-18 or of CLIP; None for random ones.

    Raises:
        CheckpointError: `weights` cannot be loaded.
    """

    def __init__(self, config: FeatureMapConfig, weights: Path | None) -> None:
        super().__init__()
        if config.encoder is MapEncoder.RESNET:
            self.normalise = ImageNormalisation(IMAGENET_MEAN, IMAGENET_STD)
            self.network: ResNet | ClipVit | SmallVit = ResNet(config.widths, config.blocks, config.norm)
            if weights is not None:
                self.network.load_pretrained(weights)
        else:
            self.normalise = ImageNormalisation()
            if config.encoder is MapEncoder.CLIP:
                self.network = ClipVit(weights)
            else:
                self.network = SmallVit(config.vit_dim, config.vit_depth, config.vit_heads)
        self.dim: int = self.network.dim

    def forward(self, image: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c h w"]:
        """Return the feature map; of a ViT the patch tokens in their places."""
        features: Tensor = self.network(self.normalise(image.float()))
        if isinstance(self.network, ResNet):
            return features
        b, _, d = features.shape
        return features[:, 1:].transpose(1, 2).reshape(b, d, TOKENS_PER_SIDE, TOKENS_PER_SIDE)


class SpatialSoftmax(nn.Module):
    """Where each of a number of learnt features is: the mean place under a softmax over the map (Finn et al. 2016).

    Args:
        dim: Channels of the feature map.
        side: Of the feature map.
        num_keypoints: Features; Diffusion Policy has 32.
    """

    places: Tensor

    def __init__(self, dim: int, side: int, num_keypoints: int) -> None:
        super().__init__()
        self.pick = nn.Conv2d(dim, num_keypoints, 1)
        line = torch.linspace(-1.0, 1.0, side)
        y, x = torch.meshgrid(line, line, indexing="ij")
        self.register_buffer("places", torch.stack([x, y], dim=-1).view(-1, 2), persistent=False)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k 2"]:
        """Return (x, y) in -1..1 for each feature."""
        scores = self.pick(features).flatten(2)
        with full_precision(scores.device):
            places: Tensor = scores.float().softmax(dim=-1) @ self.places
        return places
