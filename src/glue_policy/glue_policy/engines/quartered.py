"""GLUE's encoding with only the quarters of the image that matter.

A key-patch that is hidden is zeroed, and a quarter without visible key-patches is looked at by nobody: encoding it
changes no bit of the condition. A quarter whose pixels did not change has the features that it had. And of an encoded
quarter the key-patches' cells alone are needed, so that the last layer of ViT-B/16 is computed for these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from glue_perception.timing import LatencyRecorder
from glue_policy.nets.vit import TOKENS_PER_SIDE, ClipVit, FrozenClip, ImageNormalisation
from glue_policy.policies.base import Batch
from glue_policy.policies.glue.modeling_glue import GluePolicy, global_tokens

QUARTERS = 4


class GlobalTokens(nn.Module):
    """The whole image to the global encoder's tokens."""

    def __init__(self, policy: GluePolicy) -> None:
        super().__init__()
        self.normalise: ImageNormalisation = policy.normalise_image
        self.encoder = policy.global_encoder

    def forward(self, image: UInt8[Tensor, "1 3 s s"]) -> Float[Tensor, "1 197 d"]:
        """Return CLS, then 196 patch tokens."""
        return global_tokens(self.encoder, self.normalise(image.float()))


class CellFeatures(nn.Module):
    """One quarter of the image to the local features of some of its cells."""

    def __init__(self, policy: GluePolicy) -> None:
        super().__init__()
        self.normalise: ImageNormalisation = policy.normalise_image
        local = policy.local_encoder
        self.encoder = ClipCells(local.vit) if isinstance(local, FrozenClip) else _AnyCells(local)

    def forward(self, quarter: UInt8[Tensor, "1 3 h h"], cells: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Return the features of cells given by their number in row-major order."""
        features: Tensor = self.encoder(self.normalise(quarter.float()), cells)
        return features


class ClipCells(nn.Module):
    """CLIP's ViT, whose last layer asks and answers for some patches only: all are keys, few are queries.

    Args:
        vit: Of any size; equal to picking the patches from its tokens (tested).
    """

    def __init__(self, vit: ClipVit) -> None:
        super().__init__()
        self.model = vit.model

    def forward(self, image: Float[Tensor, "1 3 h h"], cells: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Return the last hidden state of the patches."""
        hidden = self.model.pre_layrnorm(self.model.embeddings(image))
        *layers, last = self.model.encoder.layers
        for layer in layers:
            hidden = layer(hidden, None)
        attention, normal = last.self_attn, last.layer_norm1(hidden)[0]
        asked = cells + 1  # after CLS

        def heads(x: Float[Tensor, "t d"]) -> Float[Tensor, "heads t d/heads"]:
            return x.view(len(x), attention.num_heads, -1).transpose(0, 1)

        q = heads(attention.q_proj(normal.index_select(0, asked)))
        k, v = heads(attention.k_proj(normal)), heads(attention.v_proj(normal))
        attended = (q @ k.transpose(-1, -2) * attention.scale).softmax(dim=-1) @ v
        tokens = hidden[0].index_select(0, asked) + attention.out_proj(attended.transpose(0, 1).flatten(1))
        found: Tensor = tokens + last.mlp(last.layer_norm2(tokens))
        return found


class _AnyCells(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Float[Tensor, "1 3 h h"], cells: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        features: Tensor = self.encoder(image)[0].index_select(0, cells)
        return features


class FusedCondition(nn.Module):
    """Tokens and key-patches' features to the condition vector."""

    def __init__(self, policy: GluePolicy) -> None:
        super().__init__()
        self.fusion, self.joint_range = policy.fusion, policy.joint_range

    def forward(
        self,
        tokens: Float[Tensor, "1 197 d"],
        patch2: Float[Tensor, "1 n d"],
        row_col: Int[Tensor, "1 n 2"],
        xy: Float[Tensor, "1 n 2"],
        visible: Bool[Tensor, "1 n"],
        joint_position: Float[Tensor, "1 7"],
    ) -> Float[Tensor, "1 w"]:
        """Return the condition vector."""
        joints = self.joint_range.normalise(joint_position)
        condition: Tensor = self.fusion(tokens, patch2, row_col, xy, visible, joints).condition
        return condition


@dataclass(frozen=True, eq=False)
class _Encoded:
    quarter: UInt8[Tensor, "1 3 h h"]
    cells: Int[Tensor, "n"]
    features: Float[Tensor, "n d"]


class QuarteredEncoder:
    """`GluePolicy.encode` for one observation, quarter by quarter.

    Every quarter is encoded alone, so that its features do not depend on which others are.

    Args:
        tokens: As `GlobalTokens`.
        features: As `CellFeatures`.
        fuse: As `FusedCondition`.
        reuse_max_difference: See `EngineConfig`.

    Attributes:
        encoded_quarters: How many the last observation needed.
    """

    def __init__(
        self,
        tokens: Callable[..., Tensor],
        features: Callable[..., Tensor],
        fuse: Callable[..., Tensor],
        reuse_max_difference: int | None,
    ) -> None:
        self._tokens, self._features, self._fuse = tokens, features, fuse
        self._reuse_max_difference = reuse_max_difference
        self._last: dict[int, _Encoded] = {}
        self.encoded_quarters = 0

    def encode(self, observation: Batch, parts: LatencyRecorder) -> Float[Tensor, "1 w"]:
        """Return the condition vector of an observation (physical units).

        Args:
            observation: One.
            parts: Gets the durations of `global encoder`, `local encoder` and `fusion`.
        """
        image, row_col, visible = observation["image"], observation["row_col"], observation["visible"]
        with parts.measure("global encoder"):
            tokens = self._tokens(image)
        with parts.measure("local encoder"):
            patch2 = self._key_patches(image, row_col[0], visible[0], tokens.shape[-1])
        with parts.measure("fusion"):
            return self._fuse(
                tokens, patch2[None], row_col, observation["xy"], visible, observation["joint_position"]
            )

    def _key_patches(
        self, image: Tensor, row_col: Int[Tensor, "n 2"], visible: Bool[Tensor, "n"], dim: int
    ) -> Float[Tensor, "n d"]:
        t, h = TOKENS_PER_SIDE, image.shape[-1] // 2
        quarter_of = row_col[:, 0] // t * 2 + row_col[:, 1] // t
        cell_of = row_col[:, 0] % t * t + row_col[:, 1] % t
        patch2 = torch.zeros(len(row_col), dim)
        self.encoded_quarters = 0
        for quarter in range(QUARTERS):
            members = torch.nonzero(visible & (quarter_of == quarter)).flatten()
            if len(members) == 0:
                continue
            top, left = quarter // 2 * h, quarter % 2 * h
            pixels = image[:, :, top : top + h, left : left + h].contiguous()
            # A fixed number of cells, as the graph was compiled for; those beyond the members are not looked at.
            cells = functional.pad(cell_of[members], (0, len(row_col) - len(members)))
            patch2[members] = self._features_of(quarter, pixels, cells)[: len(members)]
        return patch2

    def _features_of(self, quarter: int, pixels: Tensor, cells: Tensor) -> Float[Tensor, "n d"]:
        last = self._last.get(quarter)
        if last is not None and torch.equal(last.cells, cells) and self._same(last.quarter, pixels):
            return last.features
        self.encoded_quarters += 1
        features = self._features(pixels, cells)
        self._last[quarter] = _Encoded(pixels.clone(), cells, features)
        return features

    def _same(self, before: Tensor, now: Tensor) -> bool:
        if self._reuse_max_difference is None:
            return False
        if self._reuse_max_difference == 0:
            return torch.equal(before, now)
        change = (before.to(torch.int16) - now.to(torch.int16)).abs().max()
        return int(change) <= self._reuse_max_difference
