"""Random changes of a training batch that do not change what the right action is."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from glue_policy.policies.base import Batch

BRIGHTNESS = 0.2
CONTRAST = 0.2
CHANNEL = 0.08
"""Half-widths of random factors on brightness, contrast and each colour channel."""

HIDE_ALL_SHARE = 0.05
HIDE_ONE_SHARE = 0.15
"""How often all key-patches, or one of them, are hidden in training, so that the policy bears occlusion."""

KEYPOINT_JITTER = 0.002
"""Standard deviation of the keypoints' noise as a share of the image, about a pixel: what a tracker wanders."""

COLOUR_DRAWS = 5
"""Numbers that make one image's light: contrast, brightness, and one for each channel."""


def augment(batch: Batch, generator: torch.Generator) -> Batch:
    """Return a changed copy of the batch, on its device; the random numbers are drawn on the CPU.

    Images and key-patches are changed where the batch holds them. The image is not shifted: with a camera that stands
    still, a place in the image is a place on the table.
    """
    changed = dict(batch)
    if "image" in batch:
        image = batch["image"]
        draws = 2.0 * torch.rand(len(image), COLOUR_DRAWS, generator=generator) - 1.0
        changed["image"] = jitter_colours(image, draws)
    if "visible" in batch:
        visible = batch["visible"]
        keep = torch.rand(visible.shape, generator=generator) >= HIDE_ONE_SHARE
        keep &= torch.rand(len(visible), 1, generator=generator) >= HIDE_ALL_SHARE
        changed["visible"] = visible & keep.to(visible.device)
    if "xy" in batch:
        xy = batch["xy"]
        noise = torch.randn(xy.shape, generator=generator).to(xy.device)
        changed["xy"] = (xy + KEYPOINT_JITTER * noise).clamp(0.0, 1.0)
    return changed


def jitter_colours(image: UInt8[Tensor, "b 3 s s"], draws: Float[Tensor, "b 5"]) -> Float[Tensor, "b 3 s s"]:
    """Return images in 0..255 under another light.

    Args:
        image: As recorded.
        draws: Each in -1..1; zeros leave the image as it is.
    """
    factors = draws.to(image.device)[:, :, None, None]
    contrast = 1.0 + CONTRAST * factors[:, :1]
    gain = (1.0 + BRIGHTNESS * factors[:, 1:2]) * (1.0 + CHANNEL * factors[:, 2:])
    values = image.float()
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    # ((values - mean) * contrast + mean) * gain, in place: fresh memory costs more than the arithmetic.
    return values.mul_(contrast * gain).add_(mean * (1.0 - contrast) * gain).clamp_(0.0, 255.0)
