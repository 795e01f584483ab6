"""Every choice that makes a Diffusion Policy network, with two presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from glue_perception.errors import ConfigError
from glue_policy.nets.feature_map import FeatureMapConfig
from glue_policy.policies.configuration import DiffusionConfig


@dataclass(frozen=True)
class DpConfig(DiffusionConfig):
    """Architecture and diffusion of one Diffusion Policy.

    Attributes:
        vision: The image encoder.
        num_keypoints: Of the spatial softmax; 32 in Diffusion Policy.
        image_size_px: Side of the image that the policy takes.
        crop_px: Side of what the encoder sees: cut at random in training, from the middle at run time. Nine tenths
            of the image as in Diffusion Policy; its real-robot set-up is 216 of 240 rows.

    Raises:
        ConfigError: an impossible combination; the message gives the value.
    """

    vision: FeatureMapConfig = field(default_factory=FeatureMapConfig)
    num_keypoints: int = 32
    image_size_px: int = 240
    crop_px: int = 216

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_keypoints < 1:
            raise ConfigError(f"num_keypoints must be at least 1, not {self.num_keypoints}")
        if not 1 <= self.crop_px <= self.image_size_px:
            raise ConfigError(
                f"crop_px must lie in 1..image_size_px ({self.image_size_px}), not {self.crop_px}"
            )
        self.vision.map_side(self.crop_px)

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper`: ResNet-18 with group norm; and `tiny`: three narrow stages, trained from scratch on a CPU.

        `tiny` sees as many pixels as the global encoder of the tiny GLUE.
        """
        return {
            "paper": cls(),
            "tiny": cls(
                vision=FeatureMapConfig(widths=(32, 64, 128), blocks=(1, 1, 1)),
                image_size_px=124,
                crop_px=112,
                channels=(64, 96),
                step_dim=64,
            ),
        }
