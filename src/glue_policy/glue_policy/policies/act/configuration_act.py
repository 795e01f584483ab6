"""Every choice that makes an ACT network, with two presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from glue_perception.errors import ConfigError
from glue_policy.nets.feature_map import FeatureMapConfig
from glue_policy.nets.resnet import Norm
from glue_policy.policies.configuration import PolicyConfig


@dataclass(frozen=True)
class ActConfig(PolicyConfig):
    """Architecture and loss of one ACT policy (Zhao et al. 2023).

    ACT's chunks are 100 actions at 50 Hz, two seconds; here as with every policy 16 at 10 Hz.

    Attributes:
        vision: The image encoder.
        image_size_px: Side of the image that the policy and its encoder take. ACT's cameras give 480 x 640; the
            paper preset takes as many pixels as GLUE, which leaves 14 x 14 features.
        dim: Token width.
        heads: Attention heads.
        feedforward_dim: Hidden width of the layers' MLP.
        encoder_layers: Of the transformer over the observation.
        decoder_layers: Of the transformer over the actions. ACT's code says 7 but uses the first one only.
        style_layers: Of the CVAE's encoder, which sees the actions in training.
        latent_dim: Of the CVAE.
        kl_weight: Of the latent's divergence from a normal distribution in the loss.
        dropout: In training.

    Raises:
        ConfigError: an impossible combination; the message gives the value.
    """

    vision: FeatureMapConfig = field(default_factory=lambda: FeatureMapConfig(norm=Norm.FROZEN_BATCH))
    image_size_px: int = 448
    dim: int = 512
    heads: int = 8
    feedforward_dim: int = 3200
    encoder_layers: int = 4
    decoder_layers: int = 1
    style_layers: int = 4
    latent_dim: int = 32
    kl_weight: float = 10.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("feedforward_dim", "encoder_layers", "decoder_layers", "style_layers", "latent_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.heads < 1 or self.dim < 4 or self.dim % self.heads or self.dim % 4:
            raise ConfigError(f"dim {self.dim} must be a multiple of 4 and of heads, which is {self.heads}")
        if not self.kl_weight >= 0.0:
            raise ConfigError(f"kl_weight must not be negative, not {self.kl_weight}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout must lie in 0..1, not {self.dropout}")
        self.vision.map_side(self.image_size_px)

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper`: ACT's own sizes; and `tiny`: narrow and shallow, trained from scratch on a CPU.

        `paper` freezes the batch norm of an ImageNet ResNet-18, see `resnet18_weights_directory`. Without those
        weights nothing is normalised; set `vision.norm: group` to train it from scratch.
        """
        return {
            "paper": cls(),
            "tiny": cls(
                vision=FeatureMapConfig(widths=(32, 64, 128), blocks=(1, 1, 1)),
                image_size_px=112,
                dim=128,
                heads=4,
                feedforward_dim=384,
                encoder_layers=2,
                style_layers=2,
                latent_dim=16,
            ),
        }
