"""Every choice that makes a GLUE network, with two presets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glue_perception.config import suggest
from glue_perception.errors import ConfigError
from glue_policy.nets.fusion import LocalPosition, Occlusion


class Encoder(StrEnum):
    """Which vision encoders: `clip` is ViT-B/16, learnable and frozen; `small` trains on a CPU from scratch."""

    CLIP = "clip"
    SMALL = "small"


@dataclass(frozen=True)
class GlueConfig:
    """Architecture and diffusion of one GLUE policy.

    Attributes:
        encoder: See `Encoder`.
        encoder_dim: Token width of the small encoder; CLIP's is 768.
        encoder_depth: Layers of the small encoder.
        encoder_heads: Heads of the small encoder.
        fusion_heads: Heads of the cross-attention.
        occlusion: What becomes of hidden key-patches; `zero` is the paper's.
        local_position: Where a key-patch's code is taken. The paper's grid is `cell`; the tiny preset takes the
            `keypoint`, since a cell spans about 4 cm of the table.
        channels: Of the U-Net's levels.
        step_dim: Width of the diffusion step's embedding.
        horizon: Actions per chunk (Diffusion Policy's setting; the paper is silent).
        n_obs_steps: Observations per chunk; the paper uses one.
        num_train_timesteps: Steps of the diffusion process.
        num_inference_steps: DDIM steps at run time.
        action_time_s: Time between actions; demonstrations are sampled at 10 Hz (paper, V-A).

    Raises:
        ConfigError: an impossible combination; the message gives the value.
    """

    encoder: Encoder = Encoder.CLIP
    encoder_dim: int = 768
    encoder_depth: int = 12
    encoder_heads: int = 12
    fusion_heads: int = 8
    occlusion: Occlusion = Occlusion.ZERO
    local_position: LocalPosition = LocalPosition.CELL
    channels: tuple[int, ...] = (256, 512, 1024)
    step_dim: int = 256
    horizon: int = 16
    n_obs_steps: int = 1
    num_train_timesteps: int = 100
    num_inference_steps: int = 10
    action_time_s: float = 0.1

    def __post_init__(self) -> None:
        shape = (self.encoder_dim, self.encoder_depth, self.encoder_heads)
        if self.encoder is Encoder.CLIP and shape != (768, 12, 12):
            raise ConfigError(
                "encoder clip is ViT-B/16 with encoder_dim 768, encoder_depth 12, encoder_heads 12, not "
                f"{', '.join(map(str, shape))}"
            )
        for name in ("encoder_heads", "fusion_heads"):
            heads = getattr(self, name)
            if heads < 1 or self.encoder_dim % heads:
                raise ConfigError(
                    f"encoder_dim {self.encoder_dim} must be a multiple of {name}, which is {heads}"
                )
        if self.encoder_dim % 4:
            raise ConfigError(f"encoder_dim must be a multiple of 4, not {self.encoder_dim}")
        if not self.channels or any(c < 8 or c % 8 for c in self.channels):
            raise ConfigError(f"channels must be multiples of 8, not {self.channels}")
        shrink = 2 ** (len(self.channels) - 1)
        if self.horizon < 1 or self.horizon % shrink:
            raise ConfigError(
                f"horizon must be a multiple of {shrink} for {len(self.channels)} channels, not {self.horizon}"
            )
        if self.step_dim < 4 or self.step_dim % 2:
            raise ConfigError(f"step_dim must be even and at least 4, not {self.step_dim}")
        if self.encoder_depth < 1:
            raise ConfigError(f"encoder_depth must be at least 1, not {self.encoder_depth}")
        if self.n_obs_steps != 1:
            raise ConfigError(f"n_obs_steps must be 1 as in the paper, not {self.n_obs_steps}")
        if not 1 <= self.num_inference_steps <= self.num_train_timesteps:
            raise ConfigError(
                f"num_inference_steps must lie in 1..num_train_timesteps ({self.num_train_timesteps}), "
                f"not {self.num_inference_steps}"
            )
        if not 0.0 < self.action_time_s <= 1.0:
            raise ConfigError(f"action_time_s must lie in 0..1, not {self.action_time_s}")

    @property
    def image_size_px(self) -> int:
        """Side of the square image that the policy takes: two encoder images, so that quarters need no scaling."""
        return 448 if self.encoder is Encoder.CLIP else 224

    @classmethod
    def preset(cls, name: str) -> GlueConfig:
        """Return a preset by name.

        Raises:
            ConfigError: unknown name.
        """
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}.{suggest(name, PRESETS)}")
        return PRESETS[name]


PRESETS = {
    "paper": GlueConfig(),
    "tiny": GlueConfig(
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
