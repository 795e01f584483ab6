"""Action Chunking with Transformers (Zhao et al. 2023): a CVAE whose decoder turns an image into a chunk at once.

```
training:  CLS, joints, actions ── style encoder ── mean, variance ── latent z ─┐      (run time: z = 0)
           joints ──────────────────────────────────────────────────────────────┼─ encoder ── memory
           image ── feature map ── one token per place ─────────────────────────┘               │
                                                              horizon queries ── decoder ── 1 layer ── chunk
```
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from glue_perception.errors import ConfigError
from glue_policy.nets.act_transformer import DecoderLayer, EncoderLayer, line_code, map_code
from glue_policy.nets.ddim import Guide
from glue_policy.nets.feature_map import FeatureMap, MapEncoder
from glue_policy.nets.resnet import Norm, resnet18_weights_directory
from glue_policy.nets.vit import clip_weights_directory
from glue_policy.policies.act.configuration_act import ActConfig
from glue_policy.policies.base import ACTION_DIM, JOINTS, Batch, Policy
from glue_policy.policies.configuration import PolicyConfig


class StyleEncoder(nn.Module):
    """The CVAE's encoder: joints and demonstrated actions to the latent's mean and log-variance.

    Args:
        config: Of the policy.
    """

    position: Tensor

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.randn(1, 1, config.dim))
        self.joints, self.action = nn.Linear(JOINTS, config.dim), nn.Linear(ACTION_DIM, config.dim)
        self.layers = nn.ModuleList(_encoder_layer(config) for _ in range(config.style_layers))
        self.out = nn.Linear(config.dim, 2 * config.latent_dim)
        self.register_buffer("position", line_code(2 + config.horizon, config.dim)[None], persistent=False)

    def forward(
        self,
        joints: Float[Tensor, "b 7"],
        action: Float[Tensor, "b horizon 10"],
        valid: Bool[Tensor, "b horizon"],
    ) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Return mean and log-variance of the latent."""
        cls = self.cls.expand(len(joints), -1, -1)
        x = torch.cat([cls, self.joints(joints)[:, None], self.action(action)], dim=1)
        ignored = torch.cat([valid.new_zeros(len(valid), 2), ~valid], dim=1)
        for layer in self.layers:
            x = layer(x, self.position, ignored)
        mean, log_variance = self.out(x[:, 0]).chunk(2, dim=-1)
        return mean, log_variance


class ActPolicy(Policy):
    """ACT with one camera. At run time it is a function of the observation: the noise has no part in it.

    Args:
        config: Architecture.
        weights: Pretrained weights of the image encoder, see `pretrained_directory`; None for random ones.
    """

    name: ClassVar[str] = "act"
    needs: ClassVar[frozenset[str]] = frozenset({"image", "joint_position"})
    config: ActConfig
    map_position: Tensor

    def __init__(self, config: ActConfig, weights: Path | None = None) -> None:
        super().__init__(config, weights)
        dim, side = config.dim, config.vision.map_side(config.image_size_px)
        self.style_encoder = StyleEncoder(config)
        self.features = FeatureMap(config.vision, weights)
        self.project_map = nn.Conv2d(self.features.dim, dim, 1)
        self.project_latent, self.project_joints = nn.Linear(config.latent_dim, dim), nn.Linear(JOINTS, dim)
        self.token_position = nn.Parameter(torch.randn(1, 2, dim))
        self.register_buffer("map_position", map_code(side, dim)[None], persistent=False)
        self.encoder = nn.ModuleList(_encoder_layer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(
            DecoderLayer(dim, config.heads, config.feedforward_dim, config.dropout)
            for _ in range(config.decoder_layers)
        )
        self.query_position = nn.Parameter(torch.randn(1, config.horizon, dim))
        self.decoder_norm = nn.LayerNorm(dim)
        self.action_head = nn.Linear(dim, ACTION_DIM)
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    @staticmethod
    def pretrained_directory(config: PolicyConfig) -> Path | None:
        """Return the store's directory of CLIP's weights, or with frozen batch norm of ResNet-18's."""
        if not isinstance(config, ActConfig):
            return None
        if config.vision.encoder is MapEncoder.CLIP:
            return clip_weights_directory()
        is_pretrained = config.vision.norm is Norm.FROZEN_BATCH and config.vision.is_resnet18
        return resnet18_weights_directory() if is_pretrained else None

    @property
    def condition_dim(self) -> int:
        """Width of the memory: every token of latent, joints and map, one after the other."""
        return (2 + self.config.vision.map_side(self.config.image_size_px) ** 2) * self.config.dim

    def sample(
        self,
        condition: Float[Tensor, "b w"],
        noise: Float[Tensor, "b horizon 10"],
        num_inference_steps: int | None = None,
        guide: Guide | None = None,
    ) -> Float[Tensor, "b horizon 10"]:
        """Return action chunks in physical units; neither the noise nor the number of steps plays a part.

        Raises:
            ConfigError: with a guide; nothing is sampled that could go on from it.
        """
        if guide is not None:
            raise ConfigError("policy act cannot go on from a known chunk; choose seam 'ensemble' or 'hard'")
        return self.action_range.restore(self.decode(condition.view(len(condition), -1, self.config.dim)))

    def _encode(self, observation: Batch) -> Float[Tensor, "b w"]:
        latent = observation["joint_position"].new_zeros(len(observation["image"]), self.config.latent_dim)
        return self.remember(observation, latent).flatten(1)

    def remember(self, observation: Batch, latent: Float[Tensor, "b z"]) -> Float[Tensor, "b t d"]:
        """Return the encoder's memory of an observation, given the latent."""
        joints = self.joint_range.normalise(observation["joint_position"])
        places = self.project_map(self.features(observation["image"])).flatten(2).transpose(1, 2)
        first = torch.stack([self.project_latent(latent), self.project_joints(joints)], dim=1)
        x = torch.cat([first.to(places.dtype), places], dim=1)
        position = self._memory_position()
        for layer in self.encoder:
            x = layer(x, position)
        return x

    def decode(self, memory: Float[Tensor, "b t d"]) -> Float[Tensor, "b horizon 10"]:
        """Return chunks in the range of the demonstrations' actions."""
        x = memory.new_zeros(len(memory), self.config.horizon, self.config.dim)
        for layer in self.decoder:
            x = layer(x, self.query_position, memory, self._memory_position())
        chunk: Tensor = self.action_head(self.decoder_norm(x))
        return chunk

    def _loss(self, batch: Batch, generator: torch.Generator | None) -> Float[Tensor, ""]:
        """Return the mean absolute error over valid actions plus the weighted divergence of the latent."""
        action = self.action_range.normalise(batch["action"])
        valid = batch["action_valid"]
        with _global_generator_seeded_by(generator):
            joints = self.joint_range.normalise(batch["joint_position"])
            mean, log_variance = (v.float() for v in self.style_encoder(joints, action, valid))
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            latent = mean + (0.5 * log_variance).exp() * noise
            predicted = self.decode(self.remember(batch, latent))
        error = (predicted.float() - action).abs() * valid.unsqueeze(-1)
        error_mean = error.sum() / (valid.sum() * ACTION_DIM).clamp_min(1)
        divergence = -0.5 * (1.0 + log_variance - mean.square() - log_variance.exp()).sum(dim=-1).mean()
        loss: Tensor = error_mean + self.config.kl_weight * divergence
        return loss

    def _memory_position(self) -> Float[Tensor, "1 t d"]:
        return torch.cat([self.token_position, self.map_position], dim=1)


def _encoder_layer(config: ActConfig) -> EncoderLayer:
    return EncoderLayer(config.dim, config.heads, config.feedforward_dim, config.dropout)


@contextmanager
def _global_generator_seeded_by(generator: torch.Generator | None) -> Iterator[None]:
    """Let dropout, which draws from torch's global generator, depend on ours; None leaves it as it is."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
