"""Features of pixels from a ViT, by pre-segmentation into sub-images (paper, III-B 2), at the masked pixels only.

The paper cuts the image into N_grid x N_grid sub-images, encodes each into an n x n map of patches, upsamples the
map bilinearly to the sub-image, and puts the maps together: H x W x 768 numbers, 805 MB for 512 x 512 pixels. Only
masked pixels are ever looked at, so the interpolation is evaluated at those alone, and sub-images without any are not
encoded.

Convention: half-pixel centres (`align_corners=False`). The feature of a patch sits in the middle of the patch;
between middles it is interpolated, and beyond the outermost middles, toward a sub-image's border, it is constant. So
neighbouring sub-images do not blend, as in the paper, where maps are upsampled before they are put together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from glue_perception.errors import InvalidValueError
from glue_perception.features.vit_grid_config import VitGridConfig

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

_SAMPLED_AT_ONCE = 4096
"""Pixels that are interpolated together: four corners of 768 float32 each take 50 MB."""


@dataclass(frozen=True)
class PatchEncoder:
    """A ViT as this module needs it.

    Attributes:
        encode: Normalised images to patch tokens row by row, without CLS.
        size_px: Side of its input.
        channels: Of a token.
        mean: Of the three colours, 0..1, that it was trained with.
        std: The same.
        device: Where it runs.
        dtype: Its numbers.
    """

    encode: Callable[[Float[Tensor, "b 3 size size"]], Float[Tensor, "b patches channels"]]
    size_px: int
    channels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class _SubImage:
    """Where a sub-image lies and which masked pixels it holds.

    Attributes:
        rows: First row and the one after the last.
        cols: The same for columns.
        pixels: Row and column within the sub-image of each masked pixel.
        places: Index of each in the answer.
    """

    rows: tuple[int, int]
    cols: tuple[int, int]
    pixels: np.ndarray
    places: np.ndarray


class VitGridEncoder:
    """Describes masked pixels by a ViT's patch features. Stateless and deterministic.

    Args:
        encoder: The ViT.
        config: How the image is cut, and how much memory is spent.
    """

    def __init__(self, encoder: PatchEncoder, config: VitGridConfig) -> None:
        self.max_pixels: int | None = config.max_pixels
        self._encoder, self._config = encoder, config

    def encode(
        self, rgb: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"]
    ) -> Float[np.ndarray, "pixels channels"]:
        """Return one vector per masked pixel in row-major order; an empty mask gives none.

        Raises:
            InvalidValueError: the image is smaller than the grid, or image and mask differ in size.
        """
        if rgb.shape[:2] != mask.shape:
            raise InvalidValueError(f"the image has {rgb.shape[:2]} rows and columns, the mask {mask.shape}")
        sub_images = _cut(mask, self._config.grid)
        features = np.empty((int(mask.sum()), self._encoder.channels), np.float32)
        with torch.inference_mode():
            for start in range(0, len(sub_images), self._config.batch_size):
                batch = sub_images[start : start + self._config.batch_size]
                maps = self._patch_maps(rgb, batch)
                for sub_image, patch_map in zip(batch, maps, strict=True):
                    _sample(patch_map, sub_image, features)
        return features

    def _patch_maps(
        self, rgb: UInt8[np.ndarray, "height width 3"], batch: list[_SubImage]
    ) -> Float[Tensor, "b n n channels"]:
        vit = self._encoder
        pixels = torch.stack([self._resized(rgb[slice(*s.rows), slice(*s.cols)]) for s in batch])
        mean, std = (torch.tensor(v, device=vit.device).view(3, 1, 1) for v in (vit.mean, vit.std))
        tokens = vit.encode(((pixels - mean) / std).to(vit.dtype)).float()
        side = round(tokens.shape[1] ** 0.5)
        return tokens.view(len(batch), side, side, vit.channels)

    def _resized(self, part: UInt8[np.ndarray, "rows cols 3"]) -> Float[Tensor, "3 size size"]:
        image = (
            torch.from_numpy(np.ascontiguousarray(part)).to(self._encoder.device).permute(2, 0, 1).float()
            / 255.0
        )
        size = (self._encoder.size_px, self._encoder.size_px)
        # As the ViTs were trained: bicubic, smoothed where it shrinks; cubic overshoot is cut off as in 8-bit images.
        return functional.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0.0, 1.0)


def borders(length_px: int, parts: int) -> list[int]:
    """Return where a side is cut: parts + 1 positions, parts that differ by one pixel at most.

    Raises:
        InvalidValueError: the side is shorter than the number of parts.
    """
    if length_px < parts:
        raise InvalidValueError(f"an image side of {length_px} px cannot be cut into {parts}; lower grid")
    return [round(k * length_px / parts) for k in range(parts + 1)]


def _cut(mask: Bool[np.ndarray, "height width"], grid: int) -> list[_SubImage]:
    """Return the sub-images that hold masked pixels, row by row."""
    place = np.cumsum(mask, dtype=np.int64).reshape(mask.shape) - 1
    found = []
    for rows in pairwise(borders(mask.shape[0], grid)):
        for cols in pairwise(borders(mask.shape[1], grid)):
            window = slice(*rows), slice(*cols)
            pixels = np.argwhere(mask[window])
            if len(pixels):
                found.append(_SubImage(rows, cols, pixels, place[window][mask[window]]))
    return found


def _sample(
    patch_map: Float[Tensor, "n n channels"], sub_image: _SubImage, out: Float[np.ndarray, "pixels channels"]
) -> None:
    """Interpolate the map at a sub-image's masked pixels and write the vectors to their places."""
    n = patch_map.shape[0]
    flat = patch_map.reshape(n * n, -1)
    lengths = (sub_image.rows[1] - sub_image.rows[0], sub_image.cols[1] - sub_image.cols[0])
    for start in range(0, len(sub_image.pixels), _SAMPLED_AT_ONCE):
        part = slice(start, start + _SAMPLED_AT_ONCE)
        low, high, share = [], [], []
        for axis in (0, 1):
            position = np.maximum((sub_image.pixels[part, axis] + 0.5) * (n / lengths[axis]) - 0.5, 0.0)
            first = np.minimum(position.astype(np.int64), n - 1)
            low.append(first)
            high.append(np.minimum(first + 1, n - 1))
            share.append(torch.from_numpy((position - first).astype(np.float32)).to(flat.device)[:, None])

        def at(rows: np.ndarray, cols: np.ndarray) -> Tensor:
            return flat[torch.from_numpy(rows * n + cols).to(flat.device)]

        top = torch.lerp(at(low[0], low[1]), at(low[0], high[1]), share[1])
        bottom = torch.lerp(at(high[0], low[1]), at(high[0], high[1]), share[1])
        out[sub_image.places[part]] = torch.lerp(top, bottom, share[0]).cpu().numpy()
