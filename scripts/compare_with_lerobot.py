"""Records what LeRobot's Diffusion Policy and ACT networks give, for a test that compares ours with them.

    python scripts/compare_with_lerobot.py

Runs in an environment of its own that holds LeRobot (0.4.4 was used), with `src/glue_perception` on PYTHONPATH;
LeRobot is never needed otherwise. Its requirements exclude our torch, so it is installed without them:

    pip install torch==2.13.0 accelerate av==15.1.0 datasets==4.8.5 deepdiff diffusers==0.35.2 draccus==0.10.0
    pip install einops gymnasium huggingface_hub==0.36.2 imageio jsonlines opencv-python-headless packaging
    pip install pyserial termcolor
    pip install --no-deps torchvision==0.28.0 lerobot==0.4.4

Weights and inputs come from the recipe in `src/glue_policy/test/lerobot_networks.py`, so only outputs are written: a
few kB to `src/glue_policy/test/data/lerobot_networks.safetensors`.
"""

from __future__ import annotations

import sys
from pathlib import Path

TEST = Path(__file__).parents[1] / "src" / "glue_policy" / "test"
sys.path.insert(0, str(TEST))

from glue_perception.nets.torchvision_import import import_torchvision  # noqa: E402

_KEPT = import_torchvision()  # LeRobot imports torchvision, which on a CPU needs help

import lerobot  # noqa: E402
import lerobot_networks as shared  # noqa: E402
import torch  # noqa: E402
from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: E402
from lerobot.policies.act.configuration_act import ACTConfig  # noqa: E402
from lerobot.policies.act.modeling_act import ACT  # noqa: E402
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig  # noqa: E402
from lerobot.policies.diffusion.modeling_diffusion import DiffusionModel  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

INPUTS = {
    "observation.state": PolicyFeature(FeatureType.STATE, (shared.JOINTS,)),
    "observation.images.camera": PolicyFeature(FeatureType.VISUAL, (3, shared.IMAGE_PX, shared.IMAGE_PX)),
}
OUTPUTS = {"action": PolicyFeature(FeatureType.ACTION, (shared.ACTION_DIM,))}
MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
JOINT_HALF_RANGE = 0.2
"""Our normaliser's range of joints before it has seen data."""


def fill(module: torch.nn.Module) -> None:
    """Give a network the recipe's weights."""
    fixed = {"pool.pos_grid", "vae_encoder_pos_enc"}
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not name.endswith(tuple(fixed)):
                value.copy_(shared.recipe(name, tuple(value.shape)))


@torch.no_grad()
def diffusion(image: torch.Tensor, state: torch.Tensor, noise: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the image code, one noise prediction and a whole DDIM sample of LeRobot's Diffusion Policy."""
    config = DiffusionConfig(
        n_obs_steps=1,
        horizon=shared.HORIZON,
        n_action_steps=shared.HORIZON,
        input_features=INPUTS,
        output_features=OUTPUTS,
        vision_backbone="resnet18",
        crop_shape=(shared.CROP_PX, shared.CROP_PX),
        pretrained_backbone_weights=None,
        use_group_norm=True,
        spatial_softmax_num_keypoints=shared.KEYPOINTS,
        down_dims=shared.UNET_CHANNELS,
        diffusion_step_embed_dim=shared.STEP_DIM,
        noise_scheduler_type="DDIM",
        num_inference_steps=shared.DDIM_STEPS,
        device="cpu",
    )
    model = DiffusionModel(config).eval()
    fill(model)
    batch = {"observation.state": state[:, None], "observation.images": image[:, None, None]}
    condition = model._prepare_global_conditioning(batch)
    step = torch.tensor([3, 77])
    return {
        "dp.image_code": model.rgb_encoder(image),
        "dp.noise": model.unet(noise, step, condition),
        "dp.chunk": model.conditional_sample(len(image), condition, noise=noise),
    }


@torch.no_grad()
def act(image: torch.Tensor, state: torch.Tensor, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return LeRobot's ACT chunk with latent zero, and in training the latent, its distribution and the chunk."""
    config = ACTConfig(
        chunk_size=shared.HORIZON,
        n_action_steps=shared.HORIZON,
        input_features=INPUTS,
        output_features=OUTPUTS,
        pretrained_backbone_weights=None,
        dim_model=shared.ACT["dim"],
        n_heads=shared.ACT["heads"],
        dim_feedforward=shared.ACT["feedforward_dim"],
        n_encoder_layers=shared.ACT["encoder_layers"],
        n_decoder_layers=shared.ACT["decoder_layers"],
        n_vae_encoder_layers=shared.ACT["style_layers"],
        latent_dim=shared.ACT_LATENT,
        dropout=0.0,
        device="cpu",
    )
    model = ACT(config)
    fill(model)
    batch = {
        "observation.state": state,
        "observation.images": [image],
        "action": given["action"],
        "action_is_pad": ~given["action_valid"],
    }
    latents: list[torch.Tensor] = []
    model.encoder_latent_input_proj.register_forward_pre_hook(lambda _, args: latents.append(args[0]))
    torch.manual_seed(0)
    trained, (mean, log_variance) = model.train()(batch)
    chunk, _ = model.eval()(batch)
    return {
        "act.chunk": chunk,
        "act.latent": latents[0],
        "act.mean": mean,
        "act.log_variance": log_variance,
        "act.trained_chunk": trained,
    }


def main() -> None:
    """Record."""
    torch.set_num_threads(1)
    given = shared.inputs()
    image = (given["image"] / 255.0 - MEAN) / STD
    state = given["joint_position"] / JOINT_HALF_RANGE
    found = diffusion(image, state, given["noise"]) | act(image, state, given)
    path = TEST / "data" / "lerobot_networks.safetensors"
    save_file({k: v.contiguous() for k, v in found.items()}, path, {"lerobot": lerobot.__version__})
    for name, value in found.items():
        print(f"{name:20} {list(value.shape)} from {value.min():.3f} to {value.max():.3f}")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
