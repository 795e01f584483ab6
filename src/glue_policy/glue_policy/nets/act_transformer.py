"""ACT's transformers (Zhao et al. 2023), which are DETR's.

Normalisation follows each part; positions are added to queries and keys of every layer, but not to values.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class FeedForward(nn.Module):
    """Two layers with a rectifier between them."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Return the MLP's output."""
        out: Tensor = self.linear2(self.dropout(self.linear1(x).relu()))
        return out


class EncoderLayer(nn.Module):
    """Self-attention, then MLP.

    Args:
        dim: Token width.
        heads: Attention heads.
        hidden_dim: Of the MLP.
        dropout: In training.
    """

    def __init__(self, dim: int, heads: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.mlp = FeedForward(dim, hidden_dim, dropout)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        position: Float[Tensor, "#b t d"],
        ignored: Bool[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Return the tokens after the layer; none attends to `ignored` ones."""
        placed = x + position
        attended = self.attention(placed, placed, x, key_padding_mask=ignored, need_weights=False)[0]
        x = self.norm1(x + self.dropout(attended))
        out: Tensor = self.norm2(x + self.dropout(self.mlp(x)))
        return out


class DecoderLayer(nn.Module):
    """Self-attention, attention to the memory, then MLP.

    Args:
        dim: Token width.
        heads: Attention heads.
        hidden_dim: Of the MLP.
        dropout: In training.
    """

    def __init__(self, dim: int, heads: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.memory_attention = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.mlp = FeedForward(dim, hidden_dim, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "b h d"],
        position: Float[Tensor, "1 h d"],
        memory: Float[Tensor, "b t d"],
        memory_position: Float[Tensor, "1 t d"],
    ) -> Float[Tensor, "b h d"]:
        """Return the action tokens after the layer."""
        placed = x + position
        x = self.norm1(x + self.dropout(self.attention(placed, placed, x, need_weights=False)[0]))
        attended = self.memory_attention(x + position, memory + memory_position, memory, need_weights=False)[
            0
        ]
        x = self.norm2(x + self.dropout(attended))
        out: Tensor = self.norm3(x + self.dropout(self.mlp(x)))
        return out


def line_code(length: int, dim: int) -> Float[Tensor, "length dim"]:
    """Return the sinusoidal code of places in a sequence, sines and cosines in turn (Vaswani et al. 2017)."""
    place = torch.arange(length, dtype=torch.float64)[:, None]
    angles = place / 10_000.0 ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()


def map_code(side: int, dim: int) -> Float[Tensor, "side*side dim"]:
    """Return the sinusoidal code of a square map's places, row by row (DETR): half the channels for y, half for x.

    Places run from 1/side to 1 and are scaled to a full turn.
    """
    half = dim // 2
    place = torch.arange(1, side + 1, dtype=torch.float64)[:, None] / side * (2 * math.pi)
    angles = place / 10_000.0 ** (torch.arange(0, half, 2, dtype=torch.float64) / half)
    line = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()
    y, x = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
    return torch.cat([y, x], dim=-1).reshape(side * side, dim)
