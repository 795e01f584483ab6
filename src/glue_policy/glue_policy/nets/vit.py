"""Vision encoders: CLIP ViT-B/16 as in the paper, and small ones that train and run on a CPU.

Both give 14 x 14 patch tokens for a square image, so that the 2 x 2 quarters of an image give the 28 x 28 grid of
key-patches.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from glue_perception.errors import CheckpointError
from glue_perception.weights.store import WEIGHTS_VARIABLE, WeightsStore

TOKENS_PER_SIDE = 14

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of OpenAI's CLIP; used for the small encoders too."""

CLIP_DIRECTORY = "clip-vit-base-patch16"


class ImageNormalisation(nn.Module):
    """Maps images in 0..255 to the range that an encoder was trained on.

    Args:
        mean: Of each channel in 0..1; CLIP's unless given.
        std: Of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...] = CLIP_MEAN, std: tuple[float, ...] = CLIP_STD) -> None:
        super().__init__()
        self.register_buffer("mean", 255.0 * torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255.0 * torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Return (image - mean) / std of an image in 0..255."""
        return (image - self.mean).div_(self.std)


class ClipVit(nn.Module):
    """CLIP's ViT-B/16 without pooling: 224 x 224 in, 197 x 768 out (paper, III-C 1).

    Args:
        weights: A local directory in Hugging Face's format, or None for random weights.

    Raises:
        CheckpointError: `weights` cannot be loaded.
    """

    dim = 768
    size_px = 224
    patch_px = 16

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel

        if weights is None:
            config = CLIPVisionConfig(
                hidden_size=self.dim,
                intermediate_size=4 * self.dim,
                num_hidden_layers=12,
                num_attention_heads=12,
                image_size=self.size_px,
                patch_size=self.patch_px,
            )
            self.model = CLIPVisionModel(config)
            return
        remedy = (
            f"Run `glue weights fetch {CLIP_DIRECTORY}`, or put config.json and model.safetensors of "
            f"openai/clip-vit-base-patch16 into {weights}"
        )
        try:
            self.model, loading = CLIPVisionModel.from_pretrained(
                str(weights),
                local_files_only=True,
                # The publisher's own file is a pickle; it is read as plain tensors where there is nothing better.
                use_safetensors=(weights / "model.safetensors").is_file(),
                weights_only=True,
                output_loading_info=True,
            )
        except Exception as error:  # a damaged file has many ways to be wrong, each reader its own errors
            raise CheckpointError(f"cannot load CLIP ViT-B/16: {error}. {remedy}") from error
        found = self.model.config
        shape = (found.hidden_size, found.image_size, found.patch_size)
        if shape != (self.dim, self.size_px, self.patch_px):
            raise CheckpointError(
                f"{weights} holds a ViT of (hidden_size, image_size, patch_size) {shape}, not "
                f"{(self.dim, self.size_px, self.patch_px)}. {remedy}"
            )
        # from_pretrained fills what a file lacks with random numbers.
        if loading["missing_keys"]:
            raise CheckpointError(
                f"{weights} lacks {len(loading['missing_keys'])} tensors of the vision model, e.g. "
                f"{min(loading['missing_keys'])}. {remedy}"
            )

    def forward(self, image: Float[Tensor, "b 3 224 224"]) -> Float[Tensor, "b 197 768"]:
        """Return the last hidden state: CLS, then 196 patch tokens row by row."""
        tokens: Tensor = self.model(pixel_values=image).last_hidden_state
        return tokens


def clip_weights_directory() -> Path | None:
    """Return the directory of CLIP's weights in the store, the same that perception's features load.

    Without GLUE_WEIGHTS_DIR and without the weights in the default store, None.

    Raises:
        WeightsError: the variable is set or the directory is there, but the weights are missing or damaged.
    """
    store = WeightsStore()
    if not os.environ.get(WEIGHTS_VARIABLE) and not (store.root / CLIP_DIRECTORY).is_dir():
        return None
    return store.directory(CLIP_DIRECTORY)


class Block(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Return the tokens after attention and MLP."""
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: the backward pass of scaled_dot_product_attention takes half as long again on a CPU in bf16.
        attended = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(dim=-1) @ v
        x = x + self.out(attended.transpose(1, 2).reshape(b, t, d))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class SmallVit(nn.Module):
    """A small ViT with a convolutional stem, which learns from few images (Xiao et al. 2021): 112 x 112 to 197 x dim.

    Args:
        dim: Width of a token.
        depth: Transformer layers.
        heads: Attention heads.
    """

    size_px = 112

    def __init__(self, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.dim = dim
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(64, dim, 3, 2, 1),
        )
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.position = nn.Parameter(0.02 * torch.randn(1, TOKENS_PER_SIDE**2, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)

    def forward(self, image: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b 197 d"]:
        """Return CLS, then 196 patch tokens row by row."""
        if self.training:
            # Gradients of its convolutions take a seventh less; other bits, which shipped chunks should not have.
            image = image.contiguous(memory_format=torch.channels_last)
        patches = self.stem(image).flatten(2).transpose(1, 2) + self.position
        tokens = torch.cat([self.cls.expand(len(image), -1, -1), patches], dim=1)
        normed: Tensor = self.norm(self.blocks(tokens))
        return normed


class RandomPatchFeatures(nn.Module):
    """Frozen random features of 8 x 8 patches: 112 x 112 to 196 x dim, for want of pretrained weights.

    A fixed random projection of the pixels with a rectifier keeps what tells colours and edges apart (Rahimi and
    Recht 2007). The weights are saved with the policy, so they never depend on a random generator's version.

    Args:
        dim: Width of a feature.
        seed: Of the projection.
    """

    size_px = 112
    _PATCH_PX = 8
    weight: Tensor
    bias: Tensor

    def __init__(self, dim: int, seed: int = 0) -> None:
        super().__init__()
        self.dim = dim
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(dim, 3, self._PATCH_PX, self._PATCH_PX, generator=generator)
        # Half of the filters see the patch's mean colour only, the others its structure.
        half = dim // 2
        weight[:half] = weight[:half].mean(dim=(2, 3), keepdim=True) * self._PATCH_PX
        self.register_buffer("weight", weight / (3 * self._PATCH_PX**2) ** 0.5)
        self.register_buffer("bias", torch.randn(dim, generator=generator))

    def forward(self, image: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b 196 d"]:
        """Return one normalised feature per patch, row by row."""
        features = functional.relu(functional.conv2d(image, self.weight, self.bias, stride=self._PATCH_PX))
        return functional.layer_norm(features.flatten(2).transpose(1, 2), (self.dim,))

    def at_cells(
        self, image: Float[Tensor, "b 3 s s"], row_col: Int[Tensor, "b n 2"]
    ) -> Float[Tensor, "b n d"]:
        """Return the features of some patches of an image of any size, alike but for the rounding (tested).

        Args:
            image: Normalised; sides in whole patches. The patches of an image's quarters are those of the image.
            row_col: Which patches.
        """
        b, c, height, width = image.shape
        p = self._PATCH_PX
        tiles = image.view(b, c, height // p, p, width // p, p)
        which = torch.arange(b, device=image.device).unsqueeze(1)
        chosen = tiles[which, :, row_col[..., 0], :, row_col[..., 1]]
        features = functional.relu(functional.linear(chosen.flatten(2), self.weight.flatten(1), self.bias))
        return functional.layer_norm(features, (self.dim,))


class FrozenClip(nn.Module):
    """The paper's local encoder: CLIP without CLS, no gradient (III-C 2): 224 x 224 to 196 x 768."""

    dim = ClipVit.dim
    size_px = ClipVit.size_px

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        self.vit = ClipVit(weights).requires_grad_(False)

    def forward(self, image: Float[Tensor, "b 3 224 224"]) -> Float[Tensor, "b 196 768"]:
        """Return the patch tokens row by row."""
        with torch.no_grad():
            tokens: Tensor = self.vit(image)
            return tokens[:, 1:]
