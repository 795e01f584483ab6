"""The GLUE-S policy, the paper's ablation: the global encoder alone, under the shared action head."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from glue_policy.nets.vit import ImageNormalisation
from glue_policy.policies.base import JOINTS, Batch
from glue_policy.policies.configuration import PolicyConfig
from glue_policy.policies.diffusion import DiffusionPolicy
from glue_policy.policies.glue.modeling_glue import build_global_encoder, global_tokens, vit_weights_directory
from glue_policy.policies.glue_s.configuration_glue_s import GlueSConfig


class GlueSPolicy(DiffusionPolicy):
    """GLUE without the distilled local feature (paper, V-A): the condition is CLS and joint state.

    It takes the same image as GLUE and halves it in the same way, so that the two see the same and differ in the
    local branch only.

    Args:
        config: Architecture.
        weights: Pretrained weights of CLIP's ViT-B/16, see `pretrained_directory`; None for random ones.
    """

    name: ClassVar[str] = "glue_s"
    needs: ClassVar[frozenset[str]] = frozenset({"image", "joint_position"})
    config: GlueSConfig

    def __init__(self, config: GlueSConfig, weights: Path | None = None) -> None:
        super().__init__(config, weights)
        self.normalise_image = ImageNormalisation()
        self.global_encoder = build_global_encoder(config, weights)
        self._build_head()

    @staticmethod
    def pretrained_directory(config: PolicyConfig) -> Path | None:
        """Return the store's directory of CLIP's weights if the encoder is CLIP."""
        return vit_weights_directory(config)

    @property
    def condition_dim(self) -> int:
        """Width of the condition: CLS and joint state; 775 in the paper preset."""
        return self.config.encoder_dim + JOINTS

    def _encode(self, observation: Batch) -> Float[Tensor, "b w"]:
        normal = self.normalise_image(observation["image"].float())
        cls = global_tokens(self.global_encoder, normal)[:, 0]
        joints = self.joint_range.normalise(observation["joint_position"])
        return torch.cat([cls, joints.to(cls.dtype)], dim=-1)
