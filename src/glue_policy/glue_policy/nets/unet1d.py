"""Diffusion Policy's 1-D U-Net over an action sequence, conditioned by FiLM on W and the diffusion step.

Chi et al. 2023 (RSS), section III-A and their real-robot settings; written anew from the description.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

NUM_GROUPS = 8
KERNEL_SIZE = 5


class StepEmbedding(nn.Module):
    """Sinusoidal code of the diffusion step, then a small MLP."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.Mish(), nn.Linear(4 * dim, dim))

    def forward(self, step: Int[Tensor, "b"]) -> Float[Tensor, "b dim"]:
        """Return one vector per step."""
        half = self.dim // 2
        frequencies = torch.exp(torch.arange(half, device=step.device) * (-math.log(10_000.0) / (half - 1)))
        angles = step.float()[:, None] * frequencies
        code: Tensor = self.mlp(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return code


class ConvBlock(nn.Sequential):
    """Convolution, group norm, Mish."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv1d(channels_in, channels_out, KERNEL_SIZE, padding=KERNEL_SIZE // 2),
            nn.GroupNorm(NUM_GROUPS, channels_out),
            nn.Mish(),
        )


class FilmResidual(nn.Module):
    """Two convolutions with a residual; the condition scales and shifts the channels between them."""

    def __init__(self, channels_in: int, channels_out: int, condition_dim: int) -> None:
        super().__init__()
        self.first, self.second = ConvBlock(channels_in, channels_out), ConvBlock(channels_out, channels_out)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition_dim, 2 * channels_out))
        self.skip = nn.Conv1d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(
        self, x: Float[Tensor, "b c_in h"], condition: Float[Tensor, "b w"]
    ) -> Float[Tensor, "b c_out h"]:
        """Return the block's output."""
        scale, shift = self.film(condition).unsqueeze(-1).chunk(2, dim=1)
        out: Tensor = self.second(self.first(x) * (1.0 + scale) + shift) + self.skip(x)
        return out


class Level(nn.Module):
    """Two residual blocks of one resolution."""

    def __init__(self, channels_in: int, channels_out: int, condition_dim: int) -> None:
        super().__init__()
        self.first = FilmResidual(channels_in, channels_out, condition_dim)
        self.second = FilmResidual(channels_out, channels_out, condition_dim)

    def forward(
        self, x: Float[Tensor, "b c_in h"], condition: Float[Tensor, "b w"]
    ) -> Float[Tensor, "b c_out h"]:
        """Return the level's output."""
        out: Tensor = self.second(self.first(x, condition), condition)
        return out


class ConditionalUnet1d(nn.Module):
    """Predicts the noise in an action chunk.

    Args:
        action_dim: Channels of an action.
        condition_dim: Width of W.
        channels: Of each level, from the outermost in; the horizon must be a multiple of 2^(levels - 1).
        step_dim: Width of the diffusion step's embedding.
    """

    def __init__(self, action_dim: int, condition_dim: int, channels: tuple[int, ...], step_dim: int) -> None:
        super().__init__()
        self.step_embedding = StepEmbedding(step_dim)
        width = condition_dim + step_dim
        pairs = list(zip((action_dim, *channels[:-1]), channels, strict=True))
        self.down = nn.ModuleList(Level(inner, outer, width) for inner, outer in pairs)
        self.shrink = nn.ModuleList(nn.Conv1d(outer, outer, 3, 2, 1) for _, outer in pairs[:-1])
        self.middle = Level(channels[-1], channels[-1], width)
        self.up = nn.ModuleList(Level(2 * outer, inner, width) for inner, outer in reversed(pairs[1:]))
        self.grow = nn.ModuleList(
            nn.ConvTranspose1d(inner, inner, 4, 2, 1) for inner, _ in reversed(pairs[1:])
        )
        self.last = nn.Sequential(ConvBlock(channels[0], channels[0]), nn.Conv1d(channels[0], action_dim, 1))

    def forward(
        self,
        noisy: Float[Tensor, "b horizon a"],
        step: Int[Tensor, "b"],
        global_cond: Float[Tensor, "b w"],
    ) -> Float[Tensor, "b horizon a"]:
        """Return the predicted noise."""
        condition = torch.cat([self.step_embedding(step), global_cond], dim=-1)
        x = noisy.transpose(1, 2)
        skips: list[Tensor] = []
        for index, level in enumerate(self.down):
            x = level(x, condition)
            skips.append(x)
            if index < len(self.shrink):
                x = self.shrink[index](x)
        x = self.middle(x, condition)
        for level, grow in zip(self.up, self.grow, strict=True):
            x = grow(level(torch.cat([x, skips.pop()], dim=1), condition))
        out: Tensor = self.last(x).transpose(1, 2)
        return out
