"""3D Diffusion Policy (Ze et al. 2024): a sparse point cloud of the workspace instead of an image."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glue_policy.nets.full_precision import full_precision
from glue_policy.policies.base import JOINTS, Batch
from glue_policy.policies.diffusion import DiffusionPolicy
from glue_policy.policies.dp3.configuration_dp3 import Dp3Config


class PointEncoder(nn.Module):
    """An MLP on every point by itself, the maximum over points, one layer.

    Args:
        config: Of the policy.
    """

    centre: Tensor
    half_size: Tensor

    def __init__(self, config: Dp3Config) -> None:
        super().__init__()
        low, high = torch.tensor(config.cloud.low_m), torch.tensor(config.cloud.high_m)
        self.register_buffer("centre", (low + high) / 2, persistent=False)
        self.register_buffer("half_size", (high - low) / 2, persistent=False)
        layers: list[nn.Module] = []
        for inputs, width in zip((3, *config.widths), config.widths, strict=False):
            layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU()]
        self.each = nn.Sequential(*layers)
        self.out = nn.Sequential(
            nn.Linear(config.widths[-1], config.feature_dim), nn.LayerNorm(config.feature_dim)
        )

    def forward(self, points: Float[Tensor, "b p 3"]) -> Float[Tensor, "b f"]:
        """Return one vector per cloud; the order of the points does not matter."""
        with full_precision(points.device):
            each = self.each((points - self.centre) / self.half_size)
            code: Tensor = self.out(each.amax(dim=1))
        return code


class Dp3Policy(DiffusionPolicy):
    """3D Diffusion Policy with one depth camera and one observation step, without colour.

    Args:
        config: Architecture.
        weights: Not used; there are none to load.
    """

    name: ClassVar[str] = "dp3"
    needs: ClassVar[frozenset[str]] = frozenset({"points", "joint_position"})
    config: Dp3Config

    def __init__(self, config: Dp3Config, weights: Path | None = None) -> None:
        super().__init__(config, weights)
        self.point_encoder = PointEncoder(config)
        self.joint_encoder = nn.Sequential(
            nn.Linear(JOINTS, config.feature_dim),
            nn.ReLU(),
            nn.Linear(config.feature_dim, config.feature_dim),
        )
        self._build_head()

    @property
    def condition_dim(self) -> int:
        """Width of the condition: cloud and joint state, 128 in both presets."""
        return 2 * self.config.feature_dim

    def example_observation(self, num_key_patches: int) -> Batch:
        """Return one observation of zeros with the keys, shapes and types that this policy reads."""
        points = torch.zeros(1, self.config.cloud.num_points, 3)
        return {**super().example_observation(num_key_patches), "points": points}

    def _encode(self, observation: Batch) -> Float[Tensor, "b w"]:
        cloud = self.point_encoder(observation["points"].float())
        joints = self.joint_encoder(self.joint_range.normalise(observation["joint_position"]))
        return torch.cat([cloud, joints.to(cloud.dtype)], dim=-1)
