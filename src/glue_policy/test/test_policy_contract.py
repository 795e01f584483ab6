"""What every policy promises, tested for all of them at once."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from disc_demonstrations import random_batch

from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import CheckpointError, ConfigError, InvalidValueError
from glue_policy.checkpoint import CONFIG_FILE, WEIGHTS_FILE, load_policy, save_policy
from glue_policy.engines.traced import TracedPolicy
from glue_policy.policies import POLICIES, build_policy, policy_config, policy_entry
from glue_policy.policies.base import ACTION_DIM, KEY_PATCH_KEYS, Batch, Policy
from glue_policy.policies.configuration import DiffusionConfig

BATCH = 3

NO_GRADIENT_AT_FIRST = {
    # A bias that shifts all keys of a softmax alike changes nothing.
    "glue": {"fusion.key.bias"},
    # ACT's action tokens begin as zeros, so the first self-attention has the same value everywhere.
    "act": {
        "decoder.0.attention.in_proj_weight",
        "decoder.0.attention.out_proj.weight",
        "decoder.0.norm1.weight",
    },
}


@pytest.fixture(scope="module", params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Policy:
    torch.manual_seed(0)
    config = policy_config(request.param, "tiny")
    if isinstance(config, DiffusionConfig):
        config = replace(config, num_inference_steps=2)  # for speed
    policy = build_policy(request.param, config).eval()
    policy.fit_ranges(torch.randn(50, ACTION_DIM), torch.randn(50, 7))
    return policy


@pytest.fixture(scope="module")
def batch(policy: Policy) -> Batch:
    batch = random_batch(BATCH, policy.image_size_px, policy.config.horizon)
    batch["action_valid"][1, 9:] = False
    return batch


def observation(policy: Policy, batch: Batch) -> Batch:
    return {key: batch[key] for key in policy.needs}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed(value: torch.Tensor) -> torch.Tensor:
    """Another value of the same type, inside the range."""
    if value.dtype == torch.bool:
        return ~value
    if value.is_floating_point():
        return value * 0.5 + 0.2
    return (value + 7) % 28 if value.dtype == torch.int64 else 255 - value


def test_its_name_is_the_registry_s(policy: Policy) -> None:
    assert type(policy) is policy_entry(policy.name).policy_class()
    assert policy.needs >= KEY_PATCH_KEYS or not KEY_PATCH_KEYS & policy.needs


def test_the_loss_is_a_finite_scalar_that_reaches_all_that_learns(policy: Policy, batch: Batch) -> None:
    loss = policy.loss(batch, seeded(0))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    policy.zero_grad()
    loss.backward()
    gradients = {n: p.grad for n, p in policy.named_parameters() if p.requires_grad}
    policy.zero_grad()
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
    still = {n for n, g in gradients.items() if not g.abs().sum() > 0}
    assert still <= NO_GRADIENT_AT_FIRST.get(policy.name, set())


def test_no_method_changes_its_batch(policy: Policy, batch: Batch) -> None:
    before = {k: v.clone() for k, v in batch.items()}
    policy.train()
    policy.loss(batch, seeded(0))
    policy.eval()
    policy.predict(batch, seeded(0))
    assert batch.keys() == before.keys()
    assert all(torch.equal(batch[k], before[k]) for k in before)


@torch.no_grad()
def test_mixed_precision_gives_nearly_the_same_loss(policy: Policy, batch: Batch) -> None:
    whole = policy.loss(batch, seeded(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = policy.loss(batch, seeded(0))
    assert mixed.dtype == torch.float32
    assert float(mixed) == pytest.approx(float(whole), rel=0.03)
    assert not torch.equal(mixed, whole)


@torch.no_grad()
def test_in_training_too_all_chance_comes_from_the_generator(policy: Policy, batch: Batch) -> None:
    policy.train()
    torch.manual_seed(1)
    first = policy.loss(batch, seeded(5))
    before = torch.get_rng_state()
    again, other = policy.loss(batch, seeded(5)), policy.loss(batch, seeded(6))
    policy.eval()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_prediction_is_reproducible_and_of_the_right_shape(policy: Policy, batch: Batch) -> None:
    first, again, other = (policy.predict(batch, seeded(s)) for s in (1, 1, 2))
    assert first.shape == (BATCH, policy.config.horizon, ACTION_DIM)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (policy.name == "act")


@torch.no_grad()
def test_prediction_is_sampling_from_the_encoding(policy: Policy, batch: Batch) -> None:
    condition = policy.encode(batch)
    assert condition.shape == (BATCH, policy.condition_dim)
    noise = policy.draw_noise(BATCH, seeded(1))
    assert torch.equal(policy.sample(condition, noise), policy.predict(batch, seeded(1)))


@torch.no_grad()
def test_the_encoding_depends_on_what_is_needed_and_on_nothing_else(policy: Policy, batch: Batch) -> None:
    needed = observation(policy, batch)
    condition = policy.encode(needed)
    for key in needed:
        other = policy.encode(needed | {key: changed(needed[key])})
        assert not torch.allclose(other, condition, atol=1e-4), key
    others = {key: changed(value) for key, value in batch.items() if key not in policy.needs}
    assert torch.equal(policy.encode(batch | others), condition)


def test_a_missing_key_is_named(policy: Policy, batch: Batch) -> None:
    for key in policy.needs:
        without = {k: v for k, v in batch.items() if k != key}
        with pytest.raises(
            InvalidValueError, match=f"policy {policy.name} needs {key}, which the batch lacks"
        ):
            policy.predict(without, seeded(0))
    for key in ("action", "action_valid"):
        with pytest.raises(InvalidValueError, match=key):
            policy.loss({k: v for k, v in batch.items() if k != key}, seeded(0))


@torch.no_grad()
def test_padding_has_no_part_in_the_loss(policy: Policy, batch: Batch) -> None:
    loss = policy.loss(batch, seeded(0))
    action = batch["action"].clone()
    action[1, 9:] = float("nan")
    assert torch.equal(policy.loss(batch | {"action": action}, seeded(0)), loss)
    action = batch["action"].clone()
    action[1, 8] += 1.0
    assert not torch.equal(policy.loss(batch | {"action": action}, seeded(0)), loss)
    none = torch.zeros_like(batch["action_valid"])
    assert torch.isfinite(policy.loss(batch | {"action_valid": none}, seeded(0)))


@torch.no_grad()
def test_another_order_of_the_batch_is_another_order_of_the_result(policy: Policy, batch: Batch) -> None:
    order = torch.tensor([2, 0, 1])
    noise = policy.draw_noise(BATCH, seeded(1))
    chunks = policy.sample(policy.encode(batch), noise)
    mixed = policy.sample(policy.encode({k: v[order] for k, v in batch.items()}), noise[order])
    torch.testing.assert_close(mixed, chunks[order], atol=1e-4, rtol=1e-4)


def test_augmented_images_are_taken_as_they_are(policy: Policy, batch: Batch) -> None:
    as_float = batch | {"image": batch["image"].float()}
    assert torch.equal(policy.predict(as_float, seeded(1)), policy.predict(batch, seeded(1)))


def test_a_checkpoint_gives_the_same_policy_back(policy: Policy, batch: Batch, tmp_path: Path) -> None:
    save_policy(tmp_path / "one", policy, {})
    loaded = load_policy(tmp_path / "one", name=policy.name)
    assert type(loaded) is type(policy)
    assert loaded.config == policy.config
    assert torch.equal(loaded.predict(batch, seeded(1)), policy.predict(batch, seeded(1)))
    save_policy(tmp_path / "two", loaded, {})
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_checkpoint_of_another_policy_is_refused(policy: Policy, tmp_path: Path) -> None:
    save_policy(tmp_path, policy, {})
    other = next(name for name in POLICIES if name != policy.name)
    with pytest.raises(CheckpointError, match=f"holds policy '{policy.name}', not '{other}'"):
        load_policy(tmp_path, name=other)


@torch.no_grad()
def test_the_recorded_graphs_agree_with_the_policy(policy: Policy) -> None:
    graphs = TracedPolicy(policy, num_key_patches=5)
    for seed in range(3):
        batch = observation(policy, random_batch(1, policy.image_size_px, policy.config.horizon, seed))
        noise = policy.draw_noise(1, seeded(seed))
        condition = graphs.encode(batch)
        torch.testing.assert_close(condition, policy.encode(batch), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            graphs.sample(condition, noise), policy.sample(condition, noise), atol=1e-5, rtol=1e-4
        )


def test_everything_is_where_the_policy_is(policy: Policy, batch: Batch) -> None:
    """On the meta device, which refuses to mix with the processor as a GPU does, and is on every machine."""
    there = copy.deepcopy(policy).to("meta")
    moved = {k: v.to("meta") for k, v in batch.items()}
    loss = there.loss(moved, seeded(0))
    loss.backward()
    assert loss.device.type == "meta"
    assert there.predict(moved, seeded(0)).device.type == "meta"


def test_an_example_observation_is_one(policy: Policy) -> None:
    example = policy.example_observation(4)
    assert example.keys() == policy.needs
    assert policy.encode(example).shape == (1, policy.condition_dim)


def test_tiny_fits_into_ten_megabytes(policy: Policy) -> None:
    assert sum(v.numel() * v.element_size() for v in policy.state_dict().values()) < 10e6


def test_the_number_of_steps_is_checked(policy: Policy) -> None:
    with pytest.raises(ConfigError, match="0"):
        policy.inference_steps(0)
    assert policy.inference_steps(None) == (1 if policy.name == "act" else 2)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
@pytest.mark.parametrize("name", POLICIES)
def test_configurations_survive_yaml(name: str, preset: str) -> None:
    config = policy_config(name, preset)
    assert from_mapping(policy_entry(name).config_class(), to_mapping(config), "test") == config


@pytest.mark.parametrize(
    # GLUE's are in test_glue_policy.
    ("name", "condition_dim"),
    [("glue_s", 775), ("dp", 71), ("act", 198 * 512), ("dp3", 128)],
)
def test_the_paper_s_sizes(name: str, condition_dim: int) -> None:
    with torch.device("meta"):  # shapes without memory or arithmetic
        policy = build_policy(name, policy_config(name, "paper"))
        assert policy.condition_dim == condition_dim
        example = {k: v.to("meta") for k, v in policy.example_observation(15).items()}
        assert policy.encode(example).shape == (1, condition_dim)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'glue_s'"):
        policy_config("glues", "tiny")
    with pytest.raises(ConfigError, match="Did you mean 'tiny'"):
        policy_config("dp", "tinny")
    with pytest.raises(ConfigError, match="takes a DpConfig, not a ActConfig"):
        build_policy("dp", policy_config("act", "tiny"))
