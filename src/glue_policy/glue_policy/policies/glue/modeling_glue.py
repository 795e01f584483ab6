"""The GLUE policy: encoders and fusion, under the shared action head."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from glue_policy.nets.fusion import (
    LOCAL_DIM,
    FusedEncoding,
    GlobalLocalFusion,
    assemble_grid,
    quarters,
    select_cells,
)
from glue_policy.nets.vit import (
    ClipVit,
    FrozenClip,
    ImageNormalisation,
    RandomPatchFeatures,
    SmallVit,
    clip_weights_directory,
)
from glue_policy.policies.base import JOINTS, KEY_PATCH_KEYS, LOCAL_FEATURES, Batch
from glue_policy.policies.configuration import PolicyConfig
from glue_policy.policies.diffusion import DiffusionPolicy
from glue_policy.policies.glue.configuration_glue import Encoder, GlueConfig, VitConfig


def build_global_encoder(config: VitConfig, weights: Path | None) -> ClipVit | SmallVit:
    """Return the learnable encoder of the whole image, of GLUE and of GLUE-S."""
    if config.encoder is Encoder.CLIP:
        return ClipVit(weights)
    return SmallVit(config.encoder_dim, config.encoder_depth, config.encoder_heads)


def global_tokens(encoder: nn.Module, normal: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 197 d"]:
    """Return the tokens of normalised images at half their size: CLS, then 196 patches."""
    tokens: Tensor = encoder(_halved(normal) if encoder.training else functional.avg_pool2d(normal, 2))
    return tokens


def _halved(image: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 s/2 s/2"]:
    """Return `avg_pool2d(image, 2)` but for the rounding, in a third of the time on a CPU."""
    rows = image[:, :, ::2] + image[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def vit_weights_directory(config: PolicyConfig) -> Path | None:
    """Return the store's directory of CLIP's weights if the encoder is CLIP, see `clip_weights_directory`."""
    is_clip = isinstance(config, VitConfig) and config.encoder is Encoder.CLIP
    return clip_weights_directory() if is_clip else None


class GluePolicy(DiffusionPolicy):
    """GLUE as in the paper's section III-C, with Diffusion Policy's action head.

    Args:
        config: Architecture.
        weights: Pretrained weights of CLIP's ViT-B/16 for both encoders, see `pretrained_directory`; None for
            random ones. The small encoders take none.
    """

    name: ClassVar[str] = "glue"
    needs: ClassVar[frozenset[str]] = frozenset({"image", "joint_position"}) | KEY_PATCH_KEYS
    welcomes: ClassVar[frozenset[str]] = frozenset({LOCAL_FEATURES})
    config: GlueConfig

    def __init__(self, config: GlueConfig, weights: Path | None = None) -> None:
        super().__init__(config, weights)
        self.normalise_image = ImageNormalisation()
        self.global_encoder = build_global_encoder(config, weights)
        self.local_encoder: FrozenClip | RandomPatchFeatures = (
            FrozenClip(weights) if config.encoder is Encoder.CLIP else RandomPatchFeatures(config.encoder_dim)
        )
        self.fusion = GlobalLocalFusion(
            config.encoder_dim, config.fusion_heads, config.occlusion, config.local_position
        )
        self._build_head()

    @staticmethod
    def pretrained_directory(config: PolicyConfig) -> Path | None:
        """Return the store's directory of CLIP's weights if the encoder is CLIP."""
        return vit_weights_directory(config)

    @property
    def condition_dim(self) -> int:
        """Width of W: distilled local feature, CLS, joint state; 1031 in the paper preset."""
        return LOCAL_DIM + self.config.encoder_dim + JOINTS

    def fuse(self, observation: Batch) -> FusedEncoding:
        """Return the condition vector of observations and the attention that made it."""
        normal = self.normalise_image(observation["image"].float())
        tokens = global_tokens(self.global_encoder, normal)
        row_col, visible = observation["row_col"], observation["visible"]
        if LOCAL_FEATURES in observation:
            local = observation[LOCAL_FEATURES]
            patch2 = local * visible.unsqueeze(-1).to(local.dtype)
        elif self.training and isinstance(self.local_encoder, RandomPatchFeatures):
            local = self._features_at_cells(self.local_encoder, normal, row_col)
            patch2 = local * visible.unsqueeze(-1).to(local.dtype)
        else:
            patch2 = select_cells(self._local_grid(normal), row_col, visible)
        joints = self.joint_range.normalise(observation["joint_position"])
        encoding: FusedEncoding = self.fusion(tokens, patch2, row_col, observation["xy"], visible, joints)
        return encoding

    def local_features(
        self, image: UInt8[Tensor, "b 3 s s"] | Float[Tensor, "b 3 s s"], row_col: Int[Tensor, "b n 2"]
    ) -> Float[Tensor, "b n c"]:
        """Return the frozen encoder's features at the key-patches' cells, hidden or not.

        `loss` and `encode` take them as `local_features` of the batch in place of computing them from its image.
        """
        everywhere = torch.ones(row_col.shape[:2], dtype=torch.bool, device=row_col.device)
        return select_cells(self._local_grid(self.normalise_image(image.float())), row_col, everywhere)

    @staticmethod
    @torch.no_grad()
    def _features_at_cells(
        encoder: RandomPatchFeatures, normal: Float[Tensor, "b 3 s s"], row_col: Int[Tensor, "b n 2"]
    ) -> Float[Tensor, "b n c"]:
        # The grid has 784 cells, an observation some 15 key-patches. Not outside training, for the sake of chunks
        # that keep their bits.
        return encoder.at_cells(normal, row_col)

    @torch.no_grad()
    def _local_grid(self, normal: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 28 28 c"]:
        return assemble_grid(self.local_encoder(quarters(normal)))

    def _encode(self, observation: Batch) -> Float[Tensor, "b w"]:
        return self.fuse(observation).condition
