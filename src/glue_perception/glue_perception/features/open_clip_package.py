"""CLIP through the package open_clip; the same network and the same file of weights as `clip`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from glue_perception.errors import MissingDependencyError, WeightsError
from glue_perception.features.vit_grid import CLIP_MEAN, CLIP_STD, PatchEncoder, VitGridEncoder
from glue_perception.features.vit_grid_config import VitGridConfig
from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import import_networks, read_folder, torch_device
from glue_perception.nets.tensor_files import fill, read_tensors
from glue_perception.nets.torchvision_import import import_torchvision

INSTALL_COMMAND = (
    "pip install open_clip_torch torchvision (beside a CPU build of torch see docs/full_profile.md)"
)

_RENAMED = (
    (r"embeddings\.class_embedding", "class_embedding"),
    (r"embeddings\.patch_embedding\.", "conv1."),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"pre_layrnorm\.", "ln_pre."),
    (r"post_layernorm\.", "ln_post."),
    (r"encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
"""Hugging Face's names, without `vision_model.`, and open_clip's."""

_ACTIVATIONS = {"quick_gelu": "QuickGELU", "gelu": "GELU"}


def open_clip_encoder(
    directory: Path, config: VitGridConfig, compute: Compute | None = None
) -> VitGridEncoder:
    """Return CLIP's patch tokens as features of pixels: the last block's output without CLS and without pooling.

    Args:
        directory: In Hugging Face's format, as for `clip_encoder`.
        config: How the image is cut.
        compute: Where it runs, in which numbers.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: the folder cannot be loaded.
    """
    compute = compute or Compute()
    shape = _vision_config(directory)
    model = _build(shape)
    path = directory / "model.safetensors"
    path = path if path.is_file() else directory / "pytorch_model.bin"
    fill(model, open_clip_names(read_tensors(path)), path)
    device, dtype = torch_device(compute.device), getattr(torch, compute.precision.value)
    model = model.to(device, dtype).eval().requires_grad_(False)

    def encode(image: Float[Tensor, "b 3 size size"]) -> Float[Tensor, "b patches channels"]:
        # The last of the intermediates, before ln_post: what transformers calls the last hidden state.
        out = model.forward_intermediates(image, indices=1, intermediates_only=True, output_fmt="NLC")
        tokens: Tensor = out["image_intermediates"][-1]
        return tokens

    vit = PatchEncoder(encode, shape["image_size"], shape["hidden_size"], CLIP_MEAN, CLIP_STD, device, dtype)
    return VitGridEncoder(vit, config)


def open_clip_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the vision half of a CLIP in Hugging Face's names under open_clip's names for its visual tower."""
    vision = {n.removeprefix("vision_model."): t for n, t in tensors.items() if n.startswith("vision_model.")}
    renamed = {_renamed(name): tensor for name, tensor in vision.items()}
    found = {}
    for name, tensor in renamed.items():
        query = re.fullmatch(r"(.*)\.self_attn\.q_proj\.(weight|bias)", name)
        if query:
            block, kind = query.groups()
            parts = [renamed[f"{block}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            found[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
        elif ".self_attn." not in name:
            found[name] = tensor
    if "visual_projection.weight" in tensors:
        found["proj"] = tensors["visual_projection.weight"].T.contiguous()
    return found


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _vision_config(directory: Path) -> dict[str, Any]:
    transformers = import_networks("features open_clip")
    # transformers fills in what a config.json leaves out.
    config = read_folder(
        directory,
        lambda: transformers.CLIPVisionConfig.from_pretrained(str(directory), local_files_only=True),
    )
    values = config.to_dict()
    path = directory / "config.json"
    values["projection_dim"] = json.loads(path.read_text(encoding="utf-8")).get("projection_dim", 512)
    if values["hidden_act"] not in _ACTIVATIONS:
        raise WeightsError(
            f"{path} names the activation {values['hidden_act']!r}; known: {', '.join(_ACTIVATIONS)}"
        )
    return dict(values)


def _import_open_clip() -> Any:
    try:
        import_torchvision()
        from open_clip import transformer
    except ImportError as error:
        raise MissingDependencyError(f"features open_clip needs {error.name}: {INSTALL_COMMAND}") from error
    return transformer


def _build(shape: Mapping[str, Any]) -> Any:
    transformer = _import_open_clip()
    quick = shape["hidden_act"] == "quick_gelu"
    return transformer.VisionTransformer(
        image_size=shape["image_size"],
        patch_size=shape["patch_size"],
        width=shape["hidden_size"],
        layers=shape["num_hidden_layers"],
        heads=shape["num_attention_heads"],
        mlp_ratio=shape["intermediate_size"] / shape["hidden_size"],
        output_dim=shape["projection_dim"],
        # OpenAI's weights need QuickGELU; the usual GELU gives plausible and wrong features.
        act_layer=transformer.QuickGELU if quick else torch.nn.GELU,
        norm_layer=partial(transformer.LayerNorm, eps=shape["layer_norm_eps"]),
    )
