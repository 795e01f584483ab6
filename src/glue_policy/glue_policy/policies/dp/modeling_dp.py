"""Diffusion Policy (Chi et al. 2023), its CNN variant: where learnt features are in the image, and the joints."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glue_policy.nets.feature_map import FeatureMap, MapEncoder, SpatialSoftmax
from glue_policy.nets.full_precision import full_precision
from glue_policy.nets.vit import clip_weights_directory
from glue_policy.policies.base import JOINTS, Batch
from glue_policy.policies.configuration import PolicyConfig
from glue_policy.policies.diffusion import DiffusionPolicy
from glue_policy.policies.dp.configuration_dp import DpConfig


class KeypointEncoder(nn.Module):
    """Feature map, spatial softmax, one layer.

    Args:
        config: Of the policy.
        weights: See `FeatureMap`.
    """

    def __init__(self, config: DpConfig, weights: Path | None) -> None:
        super().__init__()
        self.features = FeatureMap(config.vision, weights)
        side = config.vision.map_side(config.crop_px)
        self.softmax = SpatialSoftmax(self.features.dim, side, config.num_keypoints)
        self.out = nn.Linear(2 * config.num_keypoints, 2 * config.num_keypoints)

    def forward(self, image: Float[Tensor, "b 3 c c"]) -> Float[Tensor, "b w"]:
        """Return one vector per image."""
        places = self.softmax(self.features(image)).flatten(1)
        with full_precision(places.device):
            code: Tensor = self.out(places).relu()
        return code


class DpPolicy(DiffusionPolicy):
    """Diffusion Policy with one camera and one observation step.

    Args:
        config: Architecture.
        weights: Pretrained weights of CLIP, if that is the encoder; a ResNet is trained from scratch as in
            Diffusion Policy.
    """

    name: ClassVar[str] = "dp"
    needs: ClassVar[frozenset[str]] = frozenset({"image", "joint_position"})
    config: DpConfig

    def __init__(self, config: DpConfig, weights: Path | None = None) -> None:
        super().__init__(config, weights)
        self.image_encoder = KeypointEncoder(config, weights)
        self._build_head()

    @staticmethod
    def pretrained_directory(config: PolicyConfig) -> Path | None:
        """Return the store's directory of CLIP's weights if the encoder is CLIP."""
        is_clip = isinstance(config, DpConfig) and config.vision.encoder is MapEncoder.CLIP
        return clip_weights_directory() if is_clip else None

    @property
    def condition_dim(self) -> int:
        """Width of the condition: two coordinates per keypoint, joint state; 71 in both presets."""
        return 2 * self.config.num_keypoints + JOINTS

    def _encode(self, observation: Batch) -> Float[Tensor, "b w"]:
        margin = (self.config.image_size_px - self.config.crop_px) // 2
        return self._condition(self._cut(observation["image"], margin, margin), observation)

    def _encode_in_training(
        self, observation: Batch, generator: torch.Generator | None
    ) -> Float[Tensor, "b w"]:
        """Return the condition of a random piece of every image."""
        image = observation["image"]
        spare = self.config.image_size_px - self.config.crop_px + 1
        corners = torch.randint(spare, (len(image), 2), generator=generator).tolist()
        pieces = [self._cut(one, top, left) for one, (top, left) in zip(image, corners, strict=True)]
        return self._condition(torch.stack(pieces), observation)

    def _cut(self, image: Tensor, top: int, left: int) -> Tensor:
        size = self.config.crop_px
        return image[..., top : top + size, left : left + size]

    def _condition(self, image: Float[Tensor, "b 3 c c"], observation: Batch) -> Float[Tensor, "b w"]:
        code = self.image_encoder(image)
        joints = self.joint_range.normalise(observation["joint_position"])
        return torch.cat([code, joints.to(code.dtype)], dim=-1)
