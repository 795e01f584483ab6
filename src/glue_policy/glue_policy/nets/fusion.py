"""Global-local unified encoding (paper, III-C): global patches query the tracked local ones.

Shapes of the paper preset along the way, for N key-patches:

```
image 448 x 448 ─┬─ resized to 224 ── learnable ViT ── 197 x 768 ─┬─ CLS 768 ────────────────────────┐
                 │                                                └─ patch1 196 x 768 ─ Q ─┐         │
                 └─ 2 x 2 quarters of 224 ── frozen ViT ── 28 x 28 x 768 ─ cells ─ patch2 N x 768    │
                                                                            K, V ──────────┤         │
                                     cross-attention 196 x 768 ── linear 256 ── mean ── 256 ┴── concat ── W 1031
                                                                        joint state 7 ─────────────────┘
```
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from glue_perception.types import GRID_SIZE
from glue_policy.nets.vit import TOKENS_PER_SIDE

LOCAL_DIM = 256
"""Width of the distilled local feature (paper, III-C 3)."""


class Occlusion(StrEnum):
    """What becomes of a hidden key-patch: `zero` its feature (the paper), or `mask` it out of the attention too."""

    ZERO = "zero"
    MASK = "mask"


class LocalPosition(StrEnum):
    """Where a key-patch's positional code is taken: the middle of its `cell`, or the tracked `keypoint` itself."""

    CELL = "cell"
    KEYPOINT = "keypoint"


def positional_code(xy: Float[Tensor, "*b 2"], dim: int) -> Float[Tensor, "*b dim"]:
    """Return the 2-D sinusoidal code of positions in 0..1 of width and height.

    A quarter of the channels each for sine and cosine of x and of y. Wavelengths run geometrically from twice the
    image to 1/32 of it, the finest that differs between neighbouring cells of the 28 x 28 grid. The paper says
    "positional encoding" only; codes over image coordinates give a global token and a local patch at the same place
    the same code.
    """
    bands = dim // 4
    exponents = torch.arange(bands, dtype=xy.dtype, device=xy.device) / max(1, bands - 1)
    frequencies = math.pi * 64.0**exponents
    angles = xy.unsqueeze(-1) * frequencies
    code = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    return functional.pad(code, (0, dim - 4 * bands))


def cell_centres(row_col: Int[Tensor, "*b 2"], per_side: int) -> Float[Tensor, "*b 2"]:
    """Return the middles of grid cells as (x, y) in 0..1."""
    return (row_col.flip(-1).float() + 0.5) / per_side


def quarters(image: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "4b 3 s/2 s/2"]:
    """Return the 2 x 2 sub-images, those of one image together, in row-major order."""
    b, c, s, _ = image.shape
    h = s // 2
    return image.view(b, c, 2, h, 2, h).permute(0, 2, 4, 1, 3, 5).reshape(4 * b, c, h, h)


def assemble_grid(features: Float[Tensor, "4b 196 d"]) -> Float[Tensor, "b 28 28 d"]:
    """Return the quarters' 14 x 14 maps put back in place."""
    t = TOKENS_PER_SIDE
    b, d = len(features) // 4, features.shape[-1]
    return features.view(b, 2, 2, t, t, d).permute(0, 1, 3, 2, 4, 5).reshape(b, 2 * t, 2 * t, d)


def select_cells(
    grid: Float[Tensor, "b 28 28 d"], row_col: Int[Tensor, "b n 2"], visible: Bool[Tensor, "b n"]
) -> Float[Tensor, "b n d"]:
    """Return the key-patches' features, zero where hidden (paper, III-C 2)."""
    flat = grid.flatten(1, 2)
    index = row_col[..., 0] * GRID_SIZE + row_col[..., 1]
    chosen = torch.gather(flat, 1, index.unsqueeze(-1).expand(-1, -1, flat.shape[-1]))
    return chosen * visible.unsqueeze(-1).to(chosen.dtype)


@dataclass(frozen=True, eq=False)
class FusedEncoding:
    """What the fusion gives.

    Attributes:
        condition: CLS and distilled local feature and joint state, the U-Net's global condition W.
        attention: Weight of each key-patch for each global token, averaged over heads.
    """

    condition: Float[Tensor, "b w"]
    attention: Float[Tensor, "b 196 n"]


class GlobalLocalFusion(nn.Module):
    """Distils the local features by cross-attention and joins them with CLS and joint state.

    Args:
        dim: Width of the tokens.
        heads: Attention heads; the paper says "multi-head" only.
        occlusion: See `Occlusion`.
        local_position: See `LocalPosition`.
    """

    global_code: Tensor

    def __init__(self, dim: int, heads: int, occlusion: Occlusion, local_position: LocalPosition) -> None:
        super().__init__()
        self.heads = heads
        self.occlusion = occlusion
        self.local_position = local_position
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.out = nn.Linear(dim, dim)
        self.project = nn.Linear(dim, LOCAL_DIM)
        rows, cols = torch.meshgrid(
            torch.arange(TOKENS_PER_SIDE), torch.arange(TOKENS_PER_SIDE), indexing="ij"
        )
        centres = cell_centres(torch.stack([rows, cols], dim=-1).view(-1, 2), TOKENS_PER_SIDE)
        self.register_buffer("global_code", positional_code(centres, dim), persistent=False)

    def forward(
        self,
        tokens: Float[Tensor, "b 197 d"],
        patch2: Float[Tensor, "b n d"],
        row_col: Int[Tensor, "b n 2"],
        xy: Float[Tensor, "b n 2"],
        visible: Bool[Tensor, "b n"],
        joint_state: Float[Tensor, "b 7"],
    ) -> FusedEncoding:
        """Return the condition vector and the attention that made it.

        With every key-patch hidden, the distilled feature is zero.
        """
        cls, patch1 = tokens[:, 0], tokens[:, 1:]
        where = xy if self.local_position is LocalPosition.KEYPOINT else cell_centres(row_col, GRID_SIZE)
        code = positional_code(where.float(), patch2.shape[-1]).to(patch2.dtype)
        distilled, attention = self._attend(patch1 + self.global_code, patch2 + code, visible)
        local = self.project(distilled).mean(dim=1)
        local = local * visible.any(dim=1, keepdim=True).to(local.dtype)
        return FusedEncoding(torch.cat([local, cls, joint_state.to(local.dtype)], dim=-1), attention)

    def _attend(
        self, patch1: Float[Tensor, "b 196 d"], patch2: Float[Tensor, "b n d"], visible: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b 196 d"], Float[Tensor, "b 196 n"]]:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, patch1), (self.key, patch2), (self.value, patch2))
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if self.occlusion is Occlusion.MASK:
            # A finite floor instead of -inf: a row in which all is hidden stays a number, and is zeroed later.
            scores = scores.masked_fill(~visible[:, None, None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2)), weights.mean(dim=1)
