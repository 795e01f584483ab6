"""Our Diffusion Policy and ACT networks against LeRobot's on equal weights.

The outputs were recorded by `scripts/compare_with_lerobot.py`. Tolerance 2e-5 absolute: float32 summed in another
order, on values of size one; ten steps of DDIM have 1e-4.
"""

from pathlib import Path

import pytest
import torch
from lerobot_networks import (
    ACT,
    ACT_LATENT,
    CROP_PX,
    DDIM_STEPS,
    IMAGE_PX,
    JOINTS,
    KEYPOINTS,
    STEP_DIM,
    UNET_CHANNELS,
    act_name,
    image_encoder_name,
    inputs,
    recipe,
    unet_name,
)
from safetensors.torch import load_file

from glue_policy.nets.feature_map import FeatureMapConfig
from glue_policy.nets.resnet import Norm
from glue_policy.policies.act.configuration_act import ActConfig
from glue_policy.policies.act.modeling_act import ActPolicy
from glue_policy.policies.dp.configuration_dp import DpConfig
from glue_policy.policies.dp.modeling_dp import DpPolicy

ATOL = 2e-5


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).parent / "data" / "lerobot_networks.safetensors")


def close(found: torch.Tensor, expected: torch.Tensor, atol: float = ATOL) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def film_weights(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Our FiLM scales by 1 + s, LeRobot's by s; our condition is image, joints, LeRobot's joints, image."""
    value = recipe(unet_name(name), shape)
    if name.endswith("film.1.bias"):
        value[: len(value) // 2] -= 1.0
    if name.endswith("film.1.weight"):
        step, joints, image = value.split([STEP_DIM, JOINTS, 2 * KEYPOINTS], dim=1)
        value = torch.cat([step, image, joints], dim=1)
    return value


@pytest.fixture(scope="module")
def dp() -> DpPolicy:
    config = DpConfig(
        image_size_px=IMAGE_PX,
        crop_px=CROP_PX,
        num_keypoints=KEYPOINTS,
        channels=UNET_CHANNELS,
        step_dim=STEP_DIM,
        num_inference_steps=DDIM_STEPS,
    )
    policy = DpPolicy(config).eval()
    encoder = {
        n: recipe(image_encoder_name(n), tuple(v.shape)) for n, v in policy.image_encoder.state_dict().items()
    }
    policy.image_encoder.load_state_dict(encoder)
    policy.unet.load_state_dict(
        {n: film_weights(n, tuple(v.shape)) for n, v in policy.unet.state_dict().items()}
    )
    # Chunks in -1..1, as LeRobot's model gives them.
    policy.action_range.half_range.fill_(1.0)
    return policy


@pytest.fixture(scope="module")
def act() -> ActPolicy:
    config = ActConfig(
        vision=FeatureMapConfig(norm=Norm.FROZEN_BATCH),
        image_size_px=IMAGE_PX,
        latent_dim=ACT_LATENT,
        dropout=0.0,
        **ACT,
    )
    policy = ActPolicy(config).eval()
    for name, value in policy.state_dict().items():
        if not name.startswith(("action_range", "joint_range")):
            value.copy_(recipe(act_name(name), tuple(value.shape)))
    policy.action_range.half_range.fill_(1.0)
    return policy


@torch.no_grad()
def test_diffusion_policy_s_image_encoder(dp: DpPolicy, theirs: dict[str, torch.Tensor]) -> None:
    code = dp.encode(inputs())[:, :-JOINTS]
    close(code, theirs["dp.image_code"])
    assert (code[0] - code[1]).abs().max() > 100 * ATOL, "the comparison sees the image"


@torch.no_grad()
def test_unet_with_film(dp: DpPolicy, theirs: dict[str, torch.Tensor]) -> None:
    given = inputs()
    close(dp.unet(given["noise"], torch.tensor([3, 77]), dp.encode(given)), theirs["dp.noise"])


@torch.no_grad()
def test_diffusion_policy_from_image_to_chunk(dp: DpPolicy, theirs: dict[str, torch.Tensor]) -> None:
    given = inputs()
    close(dp.sample(dp.encode(given), given["noise"]), theirs["dp.chunk"], atol=1e-4)


@torch.no_grad()
def test_act_at_run_time(act: ActPolicy, theirs: dict[str, torch.Tensor]) -> None:
    given = inputs()
    chunk = act.sample(act.encode(given), given["noise"])
    close(chunk, theirs["act.chunk"])
    assert (chunk[0] - chunk[1]).abs().max() > 100 * ATOL


@torch.no_grad()
def test_act_in_training(act: ActPolicy, theirs: dict[str, torch.Tensor]) -> None:
    given = inputs()
    joints = act.joint_range.normalise(given["joint_position"])
    mean, log_variance = act.style_encoder(joints, given["action"], given["action_valid"])
    close(mean, theirs["act.mean"])
    close(log_variance, theirs["act.log_variance"])
    chunk = act.decode(act.remember(given, theirs["act.latent"]))
    close(chunk, theirs["act.trained_chunk"])
    assert (chunk - theirs["act.chunk"]).abs().max() > 100 * ATOL, "the latent matters"
