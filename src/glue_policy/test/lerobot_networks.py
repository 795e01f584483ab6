"""Weights by a recipe instead of a file, and which tensor of ours is which of LeRobot's.

The script that records LeRobot's outputs and the test that compares ours with them share this module. A weight is a
function of its LeRobot name and its index alone, so that both build the same network without sharing 50 MB.
"""

import re
import zlib
from math import prod

import numpy as np
import torch

HORIZON, ACTION_DIM, JOINTS = 16, 10, 7
IMAGE_PX, CROP_PX, KEYPOINTS = 96, 84, 32
UNET_CHANNELS, STEP_DIM, DDIM_STEPS = (64, 128), 32, 10
ACT = {
    "dim": 64,
    "heads": 4,
    "feedforward_dim": 96,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "style_layers": 2,
}
ACT_LATENT = 8
BATCH = 2


def _uniform(name: str, count: int) -> np.ndarray:
    """Values in -1..1 that look random and are the same with every version of every library (SplitMix64)."""
    x = np.arange(1, count + 1, dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0


def recipe(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return a tensor of a size that keeps a deep network's activations in range."""
    values = _uniform(name, prod(shape))
    if name.endswith("running_var"):
        values = 1.0 + 0.3 * values
    elif "embed" in name:
        values = 2.0 * values
    elif len(shape) > 1:
        values = values * np.sqrt(6.0 / prod(shape[1:]))
    elif name.endswith("weight"):
        values = 1.0 + 0.1 * values
    else:
        values = 0.1 * values
    return torch.from_numpy(values.reshape(shape)).float()


def inputs() -> dict[str, torch.Tensor]:
    """Observations, actions and noise in our units."""
    shapes = {
        "image": (BATCH, 3, IMAGE_PX, IMAGE_PX),
        "joint_position": (BATCH, JOINTS),
        "action": (BATCH, HORIZON, ACTION_DIM),
        "noise": (BATCH, HORIZON, ACTION_DIM),
    }
    values = {n: torch.from_numpy(_uniform(n, prod(s)).reshape(s)).float() for n, s in shapes.items()}
    values["image"] = ((values["image"] + 1.0) * 127.5).round()
    values["action_valid"] = torch.ones(BATCH, HORIZON, dtype=torch.bool)
    values["action_valid"][1, 11:] = False
    values["action"][1, 11:] = values["action"][1, 10]
    return values


_RESNET = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_ACT_LAYER = {
    "attention": "self_attn",
    "memory_attention": "multihead_attn",
    "mlp.linear1": "linear1",
    "mlp.linear2": "linear2",
    "norm1": "norm1",
    "norm2": "norm2",
    "norm3": "norm3",
}
_ACT = {
    "style_encoder.cls": "vae_encoder_cls_embed.weight",
    "style_encoder.joints": "vae_encoder_robot_state_input_proj",
    "style_encoder.action": "vae_encoder_action_input_proj",
    "style_encoder.out": "vae_encoder_latent_output_proj",
    "features.network": "backbone",
    "project_map": "encoder_img_feat_input_proj",
    "project_latent": "encoder_latent_input_proj",
    "project_joints": "encoder_robot_state_input_proj",
    "token_position": "encoder_1d_feature_pos_embed.weight",
    "query_position": "decoder_pos_embed.weight",
    "decoder_norm": "decoder.norm",
    "action_head": "action_head",
}


def act_name(ours: str) -> str:
    """LeRobot's name of a tensor of our ACT."""
    layer = re.fullmatch(r"(style_encoder\.layers|encoder|decoder)\.(\d+)\.(.+)", ours)
    if layer:
        stack = {"style_encoder.layers": "vae_encoder"}.get(layer[1], layer[1])
        part = next(p for p in _ACT_LAYER if layer[3].startswith(p + "."))
        return f"{stack}.layers.{layer[2]}.{_ACT_LAYER[part]}{layer[3][len(part) :]}"
    part = next(p for p in _ACT if ours == p or ours.startswith(p + "."))
    return _ACT[part] + ours[len(part) :]


def image_encoder_name(ours: str) -> str:
    """LeRobot's name of a tensor of our Diffusion Policy's image encoder."""
    if ours.startswith("features.network."):
        head, rest = ours.removeprefix("features.network.").split(".", 1)
        number = next(number for number, name in _RESNET.items() if name == head)
        return f"rgb_encoder.backbone.{number}.{rest}"
    return "rgb_encoder." + ours.replace("softmax.pick", "pool.nets")


def unet_name(ours: str) -> str:
    """LeRobot's name of a tensor of our U-Net."""
    name = re.sub(r"^step_embedding\.mlp\.(\d)", lambda m: f"diffusion_step_encoder.{int(m[1]) + 1}", ours)
    name = re.sub(r"^(down|up)\.(\d+)\.(first|second)", _block, name)
    name = re.sub(r"^middle\.(first|second)", lambda m: f"mid_modules.{_ORDER[m[1]]}", name)
    name = re.sub(r"^shrink\.(\d+)", r"down_modules.\1.2", name)
    name = re.sub(r"^grow\.(\d+)", r"up_modules.\1.2", name)
    name = re.sub(r"^last\.0", "final_conv.0.block", name).replace("last.1", "final_conv.1")
    name = re.sub(r"\.(first|second)\.", lambda m: f".conv{_ORDER[m[1]] + 1}.block.", name)
    return "unet." + name.replace(".film.", ".cond_encoder.").replace(".skip.", ".residual_conv.")


_ORDER = {"first": 0, "second": 1}


def _block(match: re.Match[str]) -> str:
    return f"{match[1]}_modules.{match[2]}.{_ORDER[match[3]]}"
