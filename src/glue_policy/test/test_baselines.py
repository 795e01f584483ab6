"""What is particular to one of the policies beside GLUE."""

from dataclasses import replace

import pytest
import torch
from disc_demonstrations import random_batch
from torch.distributions import Normal, kl_divergence

from glue_policy.policies import build_policy, policy_config
from glue_policy.policies.act.modeling_act import ActPolicy
from glue_policy.policies.base import Policy


def built(name: str, **changes: object) -> Policy:
    torch.manual_seed(0)
    policy = build_policy(name, replace(policy_config(name, "tiny"), **changes)).eval()
    policy.fit_ranges(torch.randn(50, 10), torch.randn(50, 7))
    return policy


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def test_glue_s_is_glue_s_global_branch() -> None:
    glue, glue_s = built("glue"), built("glue_s")
    shared = {k: v for k, v in glue.state_dict().items() if k.startswith(("global_encoder", "joint_range"))}
    glue_s.load_state_dict(shared, strict=False)
    batch = random_batch(2, 224, 16)
    assert torch.equal(glue_s.encode(batch), glue.encode(batch)[:, 256:])


@torch.no_grad()
def test_diffusion_policy_cuts_the_middle_at_run_time() -> None:
    policy = built("dp")
    batch = random_batch(2, policy.image_size_px, 16)
    margin = (policy.config.image_size_px - policy.config.crop_px) // 2
    image = batch["image"].clone()
    image[..., :margin] = image[..., -margin:] = 0
    image[..., :margin, :] = image[..., -margin:, :] = 0
    assert torch.equal(policy.encode(batch | {"image": image}), policy.encode(batch))


@torch.no_grad()
def test_diffusion_policy_cuts_anywhere_in_training_each_image_for_itself() -> None:
    policy = built("dp")
    one = random_batch(1, policy.image_size_px, 16)["image"]
    seen: list[torch.Tensor] = []
    policy.image_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    batch = random_batch(40, policy.image_size_px, 16) | {"image": one.expand(40, -1, -1, -1)}
    policy.loss(batch, seeded())
    size = policy.config.crop_px
    windows = one[0].unfold(1, size, 1).unfold(2, size, 1)
    places = {
        (top, left)
        for piece in seen[0]
        for top in range(windows.shape[1])
        for left in range(windows.shape[2])
        if torch.equal(windows[:, top, left], piece)
    }
    assert seen[0].shape == (40, 3, size, size)
    assert len(places) > 20, "every piece is a window of the image, at many places"
    last = policy.config.image_size_px - size
    assert {0, last} <= {top for top, _ in places} | {left for _, left in places}


@torch.no_grad()
def test_places_are_not_rounded_by_mixed_precision() -> None:
    policy = built("dp")
    features = torch.randn(2, 128, 7, 7)
    softmax = policy.image_encoder.softmax
    with torch.autocast("cpu", dtype=torch.bfloat16):
        places = softmax(features)
    assert places.dtype == torch.float32
    assert not torch.equal(places, places.bfloat16().float())
    policy = built("dp3")
    batch = random_batch(2, 8, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        code = policy.point_encoder(batch["points"])
    assert torch.equal(code, policy.point_encoder(batch["points"]))


@torch.no_grad()
def test_act_s_loss_is_mean_absolute_error_plus_weighted_divergence() -> None:
    light, heavy = (built("act", kl_weight=w, dropout=0.0) for w in (0.0, 3.0))
    assert isinstance(light, ActPolicy)
    batch = random_batch(3, light.image_size_px, 16)
    batch["action_valid"][2, 5:] = False
    batch["action"][2, 5:] = batch["action"][2, 4]
    joints = light.joint_range.normalise(batch["joint_position"])
    action = light.action_range.normalise(batch["action"])
    mean, log_variance = light.style_encoder(joints, action, batch["action_valid"])
    normal = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    divergence = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), normal).sum(dim=1).mean()
    difference = heavy.loss(batch, seeded()) - light.loss(batch, seeded())
    assert float(difference) == pytest.approx(3.0 * float(divergence), rel=1e-4)


@torch.no_grad()
def test_act_s_latent_tells_chunks_apart_in_training_only() -> None:
    policy = built("act")
    assert isinstance(policy, ActPolicy)
    batch = random_batch(1, policy.image_size_px, 16)
    zero, one = (policy.remember(batch, torch.full((1, 16), value)) for value in (0.0, 1.0))
    assert not torch.allclose(policy.decode(zero), policy.decode(one), atol=1e-4)
    assert torch.equal(policy.encode(batch), zero.flatten(1))


@torch.no_grad()
def test_dp3_does_not_care_in_which_order_points_come() -> None:
    policy = built("dp3")
    batch = random_batch(2, 8, 16)
    mixed = batch["points"][:, torch.randperm(256, generator=seeded())]
    torch.testing.assert_close(
        policy.encode(batch | {"points": mixed}), policy.encode(batch), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", ["glue_s", "dp", "act", "dp3"])
def test_it_learns_one_batch(name: str) -> None:
    policy = built(name).train()
    batch = random_batch(4, policy.image_size_px, 16)
    batch["action"] = batch["action"][:, :1].expand(-1, 16, -1) * 0.3
    optimiser = torch.optim.Adam(policy.parameters(), 1e-3)
    losses = []
    for _ in range(15):
        loss = policy.loss(batch, seeded())  # the same noise each time, so that few steps show it
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0], losses
