"""Random changes of a training batch that do not change what the right action is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from glue_perception.errors import ConfigError
from glue_policy.policies.base import Batch

COLOUR_DRAWS = 5
"""Numbers that make one image's light: contrast, brightness, and one for each channel."""


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly training changes what the policy sees. Zeros leave everything as recorded.

    The image is not shifted: with a camera that stands still, a place in the image is a place on the table. Nor are
    parts of it erased: that would train every method for the foreground occlusion on which they are compared, and the
    paper trains on demonstrations without it. Key-patches are hidden, since a tracker loses them in any scene.

    Attributes:
        brightness: Half-width of a random factor on all of the image, 0..1.
        contrast: Half-width of a random factor on the distance from the image's mean, 0..1.
        channel: Half-width of a random factor on each colour channel, 0..1.
        hide_all_share: How often all key-patches of an observation are hidden.
        hide_one_share: How often a single key-patch is hidden.
        keypoint_jitter: Standard deviation of the keypoints' noise as a share of the image; about a pixel, which is
            what a tracker wanders.

    Raises:
        ConfigError: a value out of its range.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    channel: float = 0.08
    hide_all_share: float = 0.05
    hide_one_share: float = 0.15
    keypoint_jitter: float = 0.002

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "channel", "hide_all_share", "hide_one_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in 0..1, not {getattr(self, name)}")
        if not 0.0 <= self.keypoint_jitter <= 0.1:
            raise ConfigError(f"keypoint_jitter must lie in 0..0.1 of the image, not {self.keypoint_jitter}")


STANDARD = AugmentationConfig()
"""What is trained with unless the run's YAML says otherwise."""


def augment(batch: Batch, generator: torch.Generator, config: AugmentationConfig = STANDARD) -> Batch:
    """Return a changed copy of the batch, on its device; the random numbers are drawn on the CPU.

    Images and key-patches are changed where the batch holds them.
    """
    changed = dict(batch)
    if "image" in batch:
        image = batch["image"]
        draws = 2.0 * torch.rand(len(image), COLOUR_DRAWS, generator=generator) - 1.0
        changed["image"] = jitter_colours(image, draws, config)
    if "visible" in batch:
        visible = batch["visible"]
        keep = torch.rand(visible.shape, generator=generator) >= config.hide_one_share
        keep &= torch.rand(len(visible), 1, generator=generator) >= config.hide_all_share
        changed["visible"] = visible & keep.to(visible.device)
    if "xy" in batch:
        xy = batch["xy"]
        noise = torch.randn(xy.shape, generator=generator).to(xy.device)
        changed["xy"] = (xy + config.keypoint_jitter * noise).clamp(0.0, 1.0)
    return changed


def jitter_colours(
    image: UInt8[Tensor, "b 3 s s"], draws: Float[Tensor, "b 5"], config: AugmentationConfig = STANDARD
) -> Float[Tensor, "b 3 s s"]:
    """Return images in 0..255 under another light.

    Args:
        image: As recorded.
        draws: Each in -1..1; zeros leave the image as it is.
        config: How far the light changes.
    """
    factors = draws.to(image.device)[:, :, None, None]
    contrast = 1.0 + config.contrast * factors[:, :1]
    gain = (1.0 + config.brightness * factors[:, 1:2]) * (1.0 + config.channel * factors[:, 2:])
    values = image.float()
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    # ((values - mean) * contrast + mean) * gain, in place: fresh memory costs more than the arithmetic.
    return values.mul_(contrast * gain).add_(mean * (1.0 - contrast) * gain).clamp_(0.0, 255.0)
