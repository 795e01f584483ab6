"""Attention and saliency of random tiny policies."""

import numpy as np
import pytest
import torch
from disc_demonstrations import random_batch

from glue_perception.errors import ConfigError
from glue_policy.policies import build_policy, policy_config
from glue_policy.policies.attribution import Attributor, SaliencyTarget
from glue_policy.policies.base import Batch, Policy


def tiny(name: str) -> Policy:
    torch.manual_seed(0)
    policy = build_policy(name, policy_config(name, "tiny"))
    policy.fit_ranges(torch.randn(50, 10), torch.randn(50, 7))
    return policy


def observation(policy: Policy, **changes: torch.Tensor) -> Batch:
    batch = {**random_batch(1, policy.image_size_px, policy.config.horizon), **changes}
    return {key: batch[key] for key in policy.needs}


def test_attention_sums_to_one_and_moves_when_a_key_patch_is_hidden() -> None:
    policy = tiny("glue")
    attributor = Attributor(policy, probes=1)
    batch = observation(policy)
    batch["visible"] = torch.ones_like(batch["visible"])
    seen = attributor.explain(batch)
    count = batch["visible"].shape[1]
    assert seen.attention is not None
    assert seen.attention.shape == (196, count)
    np.testing.assert_allclose(seen.attention.sum(axis=1), 1.0, atol=1e-5)
    batch["visible"][0, 2] = False
    hidden = attributor.explain(batch).attention
    assert hidden is not None
    np.testing.assert_allclose(hidden.sum(axis=1), 1.0, atol=1e-5)
    assert np.abs(hidden[:, 2] - seen.attention[:, 2]).max() > 1e-4


def test_hiding_all_key_patches_moves_the_path_and_hiding_a_hidden_one_does_not() -> None:
    policy = tiny("glue")
    batch = observation(policy)
    batch["visible"] = torch.ones_like(batch["visible"])
    batch["visible"][0, 1] = False
    moved_m = Attributor(policy, probes=1).explain(batch).displacement_m
    assert moved_m is not None
    assert moved_m.shape == (batch["visible"].shape[1] + 1,)
    assert moved_m[1] == pytest.approx(0.0, abs=1e-5)
    assert moved_m[-1] > 1e-3


@pytest.mark.parametrize("name", ["glue", "glue_s", "dp", "act"])
@pytest.mark.parametrize("target", SaliencyTarget)
def test_saliency_is_finite_and_lies_somewhere(name: str, target: SaliencyTarget) -> None:
    policy = tiny(name)
    batch = observation(policy)
    before = {key: value.clone() for key, value in batch.items()}
    found = Attributor(policy, target, probes=1).explain(batch)
    size = policy.image_size_px
    assert found.saliency.shape == (size, size)
    assert np.isfinite(found.saliency).all()
    assert found.saliency.min() >= 0.0
    assert found.saliency.sum() == pytest.approx(1.0)
    assert found.saliency.max() > 2.0 / size**2
    assert (found.attention is None) == (name != "glue")
    assert all(torch.equal(batch[key], before[key]) for key in batch)
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_the_same_observation_gives_the_same_bits() -> None:
    policy = tiny("glue_s")
    attributor = Attributor(policy, probes=2)
    batch = observation(policy)
    np.testing.assert_array_equal(attributor.explain(batch).saliency, attributor.explain(batch).saliency)


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ConfigError, match="takes no image"):
        Attributor(tiny("dp3"))
    with pytest.raises(ConfigError, match="probes"):
        Attributor(tiny("glue_s"), probes=0)
