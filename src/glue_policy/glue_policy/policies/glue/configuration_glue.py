"""Every choice that makes a GLUE network, with two presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from glue_perception.errors import ConfigError
from glue_policy.nets.fusion import LocalPosition, Occlusion
from glue_policy.policies.configuration import DiffusionConfig


class Encoder(StrEnum):
    """Which vision encoders: `clip` is ViT-B/16, learnable and frozen; `small` trains on a CPU from scratch."""

    CLIP = "clip"
    SMALL = "small"


@dataclass(frozen=True)
class VitConfig(DiffusionConfig):
    """The global encoder of GLUE and of GLUE-S.

    Attributes:
        encoder: See `Encoder`.
        encoder_dim: Token width of the small encoder; CLIP's is 768.
        encoder_depth: Layers of the small encoder.
        encoder_heads: Heads of the small encoder.
    """

    encoder: Encoder = Encoder.CLIP
    encoder_dim: int = 768
    encoder_depth: int = 12
    encoder_heads: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = (self.encoder_dim, self.encoder_depth, self.encoder_heads)
        if self.encoder is Encoder.CLIP and shape != (768, 12, 12):
            raise ConfigError(
                "encoder clip is ViT-B/16 with encoder_dim 768, encoder_depth 12, encoder_heads 12, not "
                f"{', '.join(map(str, shape))}"
            )
        self._check_heads("encoder_heads")
        if self.encoder_dim % 4:
            raise ConfigError(f"encoder_dim must be a multiple of 4, not {self.encoder_dim}")
        if self.encoder_depth < 1:
            raise ConfigError(f"encoder_depth must be at least 1, not {self.encoder_depth}")

    @property
    def image_size_px(self) -> int:
        """Side of the square image that the policy takes: two encoder images, so that quarters need no scaling."""
        return 448 if self.encoder is Encoder.CLIP else 224

    def _check_heads(self, name: str) -> None:
        heads = getattr(self, name)
        if heads < 1 or self.encoder_dim % heads:
            raise ConfigError(
                f"encoder_dim {self.encoder_dim} must be a multiple of {name}, which is {heads}"
            )


@dataclass(frozen=True)
class GlueConfig(VitConfig):
    """Architecture and diffusion of one GLUE policy.

    Attributes:
        fusion_heads: Heads of the cross-attention.
        occlusion: What becomes of hidden key-patches; `zero` is the paper's.
        local_position: Where a key-patch's code is taken. The paper's grid is `cell`; the tiny preset takes the
            `keypoint`, since a cell spans about 4 cm of the table.

    Raises:
        ConfigError: an impossible combination; the message gives the value.
    """

    fusion_heads: int = 8
    occlusion: Occlusion = Occlusion.ZERO
    local_position: LocalPosition = LocalPosition.CELL

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_heads("fusion_heads")

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper` and `tiny`."""
        return {
            "paper": cls(),
            "tiny": cls(
                encoder=Encoder.SMALL,
                encoder_dim=128,
                encoder_depth=3,
                encoder_heads=4,
                fusion_heads=4,
                local_position=LocalPosition.KEYPOINT,
                channels=(64, 96),
                step_dim=64,
            ),
        }
