"""Every choice that makes a 3D Diffusion Policy network, with two presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from glue_perception.errors import ConfigError
from glue_policy.data.point_cloud import PointCloudConfig
from glue_policy.policies.configuration import DiffusionConfig, Prediction


@dataclass(frozen=True)
class Dp3Config(DiffusionConfig):
    """Architecture and diffusion of one 3D Diffusion Policy (Ze et al. 2024).

    Attributes:
        cloud: How depth becomes points, in training and at run time alike.
        widths: Of the MLP over points, before the maximum.
        feature_dim: Of the cloud, and of the joint state's MLP.

    Raises:
        ConfigError: an impossible combination; the message gives the value.
    """

    cloud: PointCloudConfig = field(default_factory=PointCloudConfig)
    widths: tuple[int, ...] = (64, 128, 256)
    feature_dim: int = 64
    channels: tuple[int, ...] = (512, 1024, 2048)
    step_dim: int = 128
    prediction: Prediction = Prediction.SAMPLE

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths or any(width < 1 for width in self.widths):
            raise ConfigError(f"widths must be positive, not {self.widths}")
        if self.feature_dim < 1:
            raise ConfigError(f"feature_dim must be at least 1, not {self.feature_dim}")

    @property
    def image_size_px(self) -> int:
        """Side of the image, which this policy does not read; the tiny GLUE's, so that they can share their data."""
        return 224

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper` and `tiny`."""
        return {
            "paper": cls(),
            "tiny": cls(
                cloud=PointCloudConfig(num_points=256),
                widths=(32, 64, 128),
                channels=(64, 96),
                step_dim=64,
            ),
        }
