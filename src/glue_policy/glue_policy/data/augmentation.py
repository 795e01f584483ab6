"""Random changes of a training batch that do not change what the right action is."""

from __future__ import annotations

import torch

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


def augment(batch: Batch, generator: torch.Generator) -> Batch:
    """Return a changed copy of the batch.

    The image is not shifted: with a camera that stands still, a place in the image is a place on the table.
    """
    changed = dict(batch)
    changed["image"] = _jitter_colours(batch["image"], generator)
    visible = batch["visible"]
    keep = torch.rand(visible.shape, generator=generator) >= HIDE_ONE_SHARE
    keep &= torch.rand(len(visible), 1, generator=generator) >= HIDE_ALL_SHARE
    changed["visible"] = visible & keep
    xy = batch["xy"]
    changed["xy"] = (xy + KEYPOINT_JITTER * torch.randn(xy.shape, generator=generator)).clamp(0.0, 1.0)
    return changed


def _jitter_colours(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return float images [b 3 s s] in 0..255 under another light."""
    b = len(image)

    def factor(width: float, channels: int) -> torch.Tensor:
        return 1.0 + width * (2.0 * torch.rand(b, channels, 1, 1, generator=generator) - 1.0)

    values = image.float()
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    contrast, gain = factor(CONTRAST, 1), factor(BRIGHTNESS, 1) * factor(CHANNEL, 3)
    # ((values - mean) * contrast + mean) * gain, in place: fresh memory costs more than the arithmetic.
    return values.mul_(contrast * gain).add_(mean * (1.0 - contrast) * gain).clamp_(0.0, 255.0)
