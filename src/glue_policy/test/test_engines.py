import dataclasses
import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
import torch
from disc_demonstrations import disc_observation
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from glue_perception.errors import ConfigError
from glue_perception.timing import LatencyRecorder
from glue_policy.benchmark.policy_step import random_observation, realistic_ranges
from glue_policy.checkpoint import find_checkpoint, load_policy
from glue_policy.engines import build_engine
from glue_policy.engines.base import PolicyEngine
from glue_policy.engines.config import EngineConfig, EngineName, Precision
from glue_policy.engines.quartered import (
    CellFeatures,
    ClipCells,
    FusedCondition,
    GlobalTokens,
    QuarteredEncoder,
)
from glue_policy.engines.rearranged import RearrangedSampler
from glue_policy.engines.step_budget import steps_within
from glue_policy.nets.ddim import DdimSampler, Guide
from glue_policy.nets.ddpm import DdpmSampler
from glue_policy.policies import build_policy, policy_config
from glue_policy.policies.base import Batch, Policy
from glue_policy.policies.configuration import NoiseScheduler, Prediction
from glue_policy.policies.diffusion import DiffusionPolicy
from glue_policy.policies.glue.configuration_glue import Encoder, GlueConfig
from glue_policy.policies.glue.modeling_glue import GluePolicy
from glue_policy.runner import PolicyRunner

KEY_PATCHES = 6
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed: pip install openvino"
)


@pytest.fixture(scope="module")
def policy() -> GluePolicy:
    torch.manual_seed(0)
    config = GlueConfig(
        encoder=Encoder.SMALL,
        encoder_dim=64,
        encoder_depth=1,
        encoder_heads=2,
        fusion_heads=2,
        channels=(16, 24),
        step_dim=16,
        num_inference_steps=5,
    )
    policy = GluePolicy(config).eval()
    realistic_ranges(policy)
    return policy


def noise_of(policy: Policy) -> Tensor:
    return policy.draw_noise(1, torch.Generator().manual_seed(7))


@torch.inference_mode()
def step(engine: PolicyEngine, observation: Batch, noise: Tensor) -> Tensor:
    return engine.sample(engine.encode(observation), noise)


@pytest.mark.parametrize("prediction", list(Prediction))
@pytest.mark.parametrize("steps", [1, 7, 10, 16, 100])
def test_coefficients_give_what_diffusers_gives(prediction: Prediction, steps: int) -> None:
    sampler = DdimSampler(100, prediction)
    generator = torch.Generator().manual_seed(steps)
    x = noise = torch.randn(2, 16, 10, generator=generator)
    weight = torch.randn(10, 10, generator=generator) / 4

    def model(noisy: Tensor, step: Tensor) -> Tensor:
        return torch.tanh(noisy @ weight + step[:, None, None] / 100)

    for c in sampler.coefficients(steps):
        out = model(x, torch.full((2,), c.timestep))
        if prediction is Prediction.EPSILON:
            eps, clean = out, (x - c.sqrt_one_minus_alpha * out) / c.sqrt_alpha
        else:
            eps, clean = (x - c.sqrt_alpha * out) / c.sqrt_one_minus_alpha, out
        x = c.sqrt_previous_alpha * clean.clamp(-1, 1) + c.sqrt_one_minus_previous_alpha * eps
    torch.testing.assert_close(x, sampler.sample(model, noise, steps), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["glue", "dp3"])
def test_the_rearranged_sampler_gives_what_the_policy_samples(name: str) -> None:
    torch.manual_seed(1)
    policy = build_policy(name, policy_config(name, "tiny")).eval()
    assert isinstance(policy, DiffusionPolicy)
    sampler, condition = RearrangedSampler(policy, 6).eval(), torch.randn(1, policy.condition_dim)
    with torch.inference_mode():
        found = policy.action_range.restore(sampler(condition, noise_of(policy)))
        torch.testing.assert_close(found, policy.sample(condition, noise_of(policy), 6), atol=1e-4, rtol=0)


def test_some_cells_of_a_clip_vit_are_those_of_all() -> None:
    torch.manual_seed(2)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=112,
        patch_size=8,
    )

    class TinyClip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = CLIPVisionModel(config).eval()

    vit, image, cells = TinyClip(), torch.randn(1, 3, 112, 112), torch.tensor([0, 195, 17, 17])
    with torch.inference_mode():
        whole = vit.model(pixel_values=image).last_hidden_state[0, 1:]
        torch.testing.assert_close(ClipCells(vit)(image, cells), whole[cells], atol=1e-5, rtol=1e-5)


class TestQuarters:
    @pytest.fixture
    def asked(self) -> list[Tensor]:
        return []

    @pytest.fixture
    def encoder_of(
        self, policy: GluePolicy, asked: list[Tensor]
    ) -> Callable[[int | None], Callable[[Batch], Tensor]]:
        features = CellFeatures(policy)

        def counted(quarter: Tensor, cells: Tensor) -> Tensor:
            asked.append(quarter)
            return features(quarter, cells)

        def make(reuse_max_difference: int | None) -> Callable[[Batch], Tensor]:
            encoder = QuarteredEncoder(
                GlobalTokens(policy), counted, FusedCondition(policy), reuse_max_difference
            )

            def encode(observation: Batch) -> Tensor:
                with torch.inference_mode():
                    return encoder.encode(observation, LatencyRecorder())

            return encode

        return make

    @pytest.mark.parametrize("quarters", [1, 2, 3, 4])
    def test_only_quarters_with_visible_key_patches_are_encoded(
        self, policy: GluePolicy, encoder_of: Callable, asked: list[Tensor], quarters: int
    ) -> None:
        observation = random_observation(policy, KEY_PATCHES, quarters, seed=3)
        found = encoder_of(None)(observation)
        torch.testing.assert_close(found, policy.encode(observation), atol=1e-5, rtol=1e-5)
        assert len(asked) == quarters

    def test_a_hidden_quarter_counts_as_zero_whatever_it_shows(
        self, policy: GluePolicy, encoder_of: Callable, asked: list[Tensor]
    ) -> None:
        observation = random_observation(policy, KEY_PATCHES, 2, seed=4)
        observation["visible"] = torch.arange(KEY_PATCHES)[None] % 2 == 0
        found = encoder_of(None)(observation)
        torch.testing.assert_close(found, policy.encode(observation), atol=1e-5, rtol=1e-5)
        assert len(asked) == 1
        observation["visible"] = torch.zeros(1, KEY_PATCHES, dtype=torch.bool)
        torch.testing.assert_close(
            encoder_of(None)(observation), policy.encode(observation), atol=1e-5, rtol=1e-5
        )
        assert len(asked) == 1

    def test_unchanged_quarters_are_reused_to_the_same_bits(
        self, policy: GluePolicy, encoder_of: Callable, asked: list[Tensor]
    ) -> None:
        encode, afresh = encoder_of(0), encoder_of(None)
        observation = random_observation(policy, KEY_PATCHES, 4, seed=5)
        encode(observation)
        assert len(asked) == 4
        changed = {**observation, "image": observation["image"].clone()}
        changed["image"][0, 0, 3, 3] ^= 1
        found = encode(changed)
        assert len(asked) == 5
        assert torch.equal(found, afresh(changed))

    def test_moved_key_patches_are_looked_up_again(self, policy: GluePolicy, encoder_of: Callable) -> None:
        encode = encoder_of(0)
        observation = random_observation(policy, KEY_PATCHES, 4, seed=6)
        encode(observation)
        moved = {**observation, "row_col": observation["row_col"].flip(1)}
        assert torch.equal(encode(moved), encoder_of(None)(moved))

    def test_small_changes_reuse_only_where_allowed_and_do_not_creep(
        self, policy: GluePolicy, encoder_of: Callable, asked: list[Tensor]
    ) -> None:
        encode = encoder_of(2)
        observation = random_observation(policy, KEY_PATCHES, 1, seed=7)
        observation["image"].clamp_(max=200)
        counts = []
        for brighter in range(5):
            encode({**observation, "image": observation["image"] + brighter})
            counts.append(len(asked))
        assert counts == [1, 1, 1, 2, 2]


@needs_openvino
def test_openvino_agrees_with_the_policy_at_every_call_alike(policy: GluePolicy) -> None:
    """To the rounding of float32, which random weights magnify."""
    fast, plain = (
        build_engine(EngineConfig(engine), policy, KEY_PATCHES)
        for engine in (EngineName.OPENVINO, EngineName.TORCH)
    )
    for seed in range(3):
        observation = random_observation(policy, KEY_PATCHES, 1 + seed, seed)
        found, expected = (step(engine, observation, noise_of(policy)) for engine in (fast, plain))
        assert torch.equal(found, step(fast, observation, noise_of(policy)))
        assert (found - expected)[..., :3].abs().max() * 1e3 < 0.05


@needs_openvino
def test_int8_moves_a_trained_policy_by_less_than_half_a_millimetre() -> None:
    policy = load_policy(find_checkpoint("push_button_tiny"))
    exact, fast = (
        PolicyRunner(policy, seed=3, engine=engine)
        for engine in (EngineConfig(), EngineConfig(EngineName.OPENVINO, Precision.INT8))
    )
    for seed in range(4):
        observation = disc_observation(seed, 1_000 + seed)
        difference_m = np.abs(fast.infer(observation).position_m - exact.infer(observation).position_m)
        assert 0.0 < difference_m.max() < 0.5e-3


@needs_openvino
def test_int8_moves_the_sampler_alone_by_less_than_a_fiftieth_of_a_millimetre() -> None:
    """Its products are sums of int8 ones that keep 15 bits; plain int8 weights move it by more than 1 mm."""
    policy = load_policy(find_checkpoint("push_button_tiny"))
    assert isinstance(policy, DiffusionPolicy)
    exact, fast = (
        build_engine(EngineConfig(EngineName.OPENVINO, precision), policy, KEY_PATCHES)
        for precision in (Precision.FLOAT32, Precision.INT8)
    )
    example = policy.example_observation(KEY_PATCHES)
    with torch.inference_mode():
        for seed in range(4):
            observation = {
                **example,
                "xy": torch.rand(1, KEY_PATCHES, 2, generator=torch.Generator().manual_seed(seed)),
            }
            condition = exact.encode(observation)
            guide = Guide(
                exact.sample(condition, noise_of(policy)), torch.full((1, policy.config.horizon, 1), 0.5)
            )
            for known in (None, guide):
                found, expected = (e.sample(condition, noise_of(policy), known) for e in (fast, exact))
                assert 0.0 < (found - expected)[..., :3].abs().max() < 0.02e-3


@needs_openvino
def test_openvino_computes_a_policy_without_quarters_and_diffusion() -> None:
    torch.manual_seed(0)
    policy = build_policy("act", policy_config("act", "tiny")).eval()
    realistic_ranges(policy)
    observation = random_observation(policy, KEY_PATCHES, 4, seed=1)
    plain, fast = (
        build_engine(EngineConfig(engine), policy, KEY_PATCHES)
        for engine in (EngineName.TORCH, EngineName.OPENVINO)
    )
    found, expected = (step(e, observation, noise_of(policy)) for e in (fast, plain))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@needs_openvino
def test_a_runner_on_openvino_gives_one_chunk_per_observation_in_any_order(policy: GluePolicy) -> None:
    engine = EngineConfig(EngineName.OPENVINO)
    observations = [disc_observation(seed, 1_000 + seed) for seed in range(3)]
    runner = PolicyRunner(policy, seed=1, num_inference_steps=2, engine=engine)
    forward = {o.stamp_ns: runner.infer(o).position_m.tobytes() for o in observations}
    backward = {o.stamp_ns: runner.infer(o).position_m.tobytes() for o in reversed(observations)}
    assert forward == backward
    assert len(set(forward.values())) == 3


def test_other_engines_refuse_a_precision_that_they_would_ignore() -> None:
    with pytest.raises(ConfigError, match="openvino"):
        EngineConfig(EngineName.TRACED, Precision.INT8)
    with pytest.raises(ConfigError, match="256"):
        EngineConfig(reuse_max_difference=256)


def ddpm_policy() -> DiffusionPolicy:
    torch.manual_seed(0)
    config = dataclasses.replace(policy_config("dp3", "tiny"), noise_scheduler=NoiseScheduler.DDPM)
    policy = build_policy("dp3", config).eval()
    assert isinstance(policy, DiffusionPolicy)
    return policy


def test_ddpm_is_a_function_of_condition_and_first_noise() -> None:
    policy = ddpm_policy()
    condition = torch.randn(3, policy.condition_dim)
    noise = policy.draw_noise(3, torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = policy.sample(condition, noise, 20)
        alone = policy.sample(condition[1:2], noise[1:2], 20)
        torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(policy.sample(condition[1:2], noise[1:2] + 1e-3, 20), alone, atol=1e-3)


def test_ddpm_recovers_what_a_perfect_model_knows() -> None:
    sampler, clean = DdpmSampler(100, Prediction.SAMPLE), torch.rand(2, 16, 10) * 1.8 - 0.9
    found = sampler.sample(lambda noisy, step: clean, torch.randn(2, 16, 10), 100)
    torch.testing.assert_close(found, clean, atol=1e-3, rtol=0)


@pytest.mark.parametrize("engine", [EngineName.TRACED, EngineName.OPENVINO])
def test_engines_with_a_fixed_computation_refuse_ddpm(engine: EngineName) -> None:
    with pytest.raises(ConfigError, match="ddpm"):
        build_engine(EngineConfig(engine), ddpm_policy(), 0)


def test_steps_that_fit_a_budget() -> None:
    assert steps_within(100.0, 10, encode_ms=50.0, sample_ms=100.0) == 5
    assert steps_within(1_000.0, 10, encode_ms=50.0, sample_ms=100.0) == 10
    with pytest.raises(ConfigError, match=r"50\.0 ms"):
        steps_within(55.0, 10, encode_ms=50.0, sample_ms=100.0)


def test_a_runner_with_a_large_budget_takes_the_steps_asked_for(policy: GluePolicy) -> None:
    engine = EngineConfig(EngineName.TORCH, budget_ms=1e6)
    runner = PolicyRunner(policy, seed=0, num_inference_steps=3, engine=engine)
    runner.warm_up(KEY_PATCHES)
    assert runner.num_inference_steps == 3
    with pytest.raises(ConfigError, match="too little"):
        hurried = EngineConfig(EngineName.TORCH, budget_ms=1e-6)
        PolicyRunner(policy, seed=0, num_inference_steps=3, engine=hurried).warm_up(KEY_PATCHES)
