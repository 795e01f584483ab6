"""Residual convolutional encoder (He et al. 2016) of Diffusion Policy and ACT, without its pooling and classifier.

Its tensors are named as torchvision's, so that weights pretrained there load as they are; torchvision itself is not
needed, whose import wants compiled operators that a CPU installation lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from glue_perception.errors import CheckpointError
from glue_perception.weights.store import weights_root

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CHANNELS_PER_GROUP = 16
"""Of group norm (Diffusion Policy's code)."""

RESNET18_DIRECTORY = "resnet18"

WEIGHTS_FILES = ("model.safetensors", "resnet18-f37072fd.pth")
"""Names under which ResNet-18's weights are published; the first one found is read."""


class Norm(StrEnum):
    """Normalisation of a ResNet.

    `group` trains from scratch and with EMA (Diffusion Policy); `frozen_batch` keeps the statistics and scales of
    pretrained weights (ACT).
    """

    GROUP = "group"
    FROZEN_BATCH = "frozen_batch"


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics and scales are constants; the identity until weights are loaded.

    Args:
        channels: Of the feature map.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the scaled and shifted map."""
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def _norm(kind: Norm) -> Callable[[int], nn.Module]:
    if kind is Norm.FROZEN_BATCH:
        return FrozenBatchNorm
    return lambda channels: nn.GroupNorm(channels // CHANNELS_PER_GROUP, channels)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a residual."""

    def __init__(
        self, channels_in: int, channels_out: int, stride: int, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = norm(channels_out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), norm(channels_out)
            )

    def forward(self, x: Float[Tensor, "b c_in h w"]) -> Float[Tensor, "b c_out h2 w2"]:
        """Return the block's output."""
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class ResNet(nn.Module):
    """Image to feature map: a quarter of its side after the stem, then halved by every stage but the first.

    Args:
        widths: Channels of each stage; (64, 128, 256, 512) is ResNet-18's.
        blocks: Residual blocks of each stage; (2, 2, 2, 2) is ResNet-18's.
        norm: See `Norm`.
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        self.dim = widths[-1]
        make_norm = _norm(norm)
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = make_norm(widths[0])
        channels = widths[0]
        self._stages = [f"layer{i + 1}" for i in range(len(widths))]
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            strides = [1 if i == 0 else 2] + [1] * (count - 1)
            inputs = [channels] + [width] * (count - 1)
            stage = (BasicBlock(c, width, s, make_norm) for c, s in zip(inputs, strides, strict=True))
            self.add_module(self._stages[i], nn.Sequential(*stage))
            channels = width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c h w"]:
        """Return the last stage's feature map."""
        x = functional.relu(self.bn1(self.conv1(image)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for name in self._stages:
            x = getattr(self, name)(x)
        return x

    def load_pretrained(self, directory: Path) -> None:
        """Take published weights in torchvision's names; the classifier's are left out.

        Raises:
            CheckpointError: no such file, a damaged one, or one of another network.
        """
        path = next((directory / name for name in WEIGHTS_FILES if (directory / name).is_file()), None)
        if path is None:
            raise CheckpointError(f"{directory} holds no ResNet weights: none of {', '.join(WEIGHTS_FILES)}")
        try:
            found = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True)
            )
            kept = {k: v for k, v in found.items() if not k.startswith("fc.") and "num_batches" not in k}
            self.load_state_dict(kept)
        except (OSError, SafetensorError, RuntimeError, ValueError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"cannot load a ResNet from {path}: {reason}") from error


def resnet18_weights_directory() -> Path | None:
    """Return the directory of ResNet-18's ImageNet weights in the folder of weights, None if they are not there.

    They are put there by hand: the file that torchvision or timm publishes, see `WEIGHTS_FILES`.
    """
    directory = weights_root() / RESNET18_DIRECTORY
    return directory if any((directory / name).is_file() for name in WEIGHTS_FILES) else None
