from dataclasses import replace

import numpy as np
import pytest
import torch
from disc_demonstrations import random_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import ConfigError
from glue_policy.nets.fusion import quarters
from glue_policy.policies.glue.configuration_glue import GlueConfig
from glue_policy.policies.glue.modeling_glue import GluePolicy
from glue_policy.policies.normalisation import RangeNormaliser

TINY = GlueConfig.preset("tiny")


@pytest.fixture(scope="module")
def tiny() -> GluePolicy:
    torch.manual_seed(0)
    policy = GluePolicy(TINY).eval()
    policy.fit_ranges(torch.randn(50, 10), torch.randn(50, 7))
    return policy


def observation(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v for k, v in batch.items() if not k.startswith("action")}


def test_shapes_of_the_paper() -> None:
    # On the meta device shapes are computed without memory or arithmetic.
    with torch.device("meta"):
        policy = GluePolicy(GlueConfig.preset("paper"))
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str):
        def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
            shapes[name] = tuple(output.shape)

        return hook

    for name in ("global_encoder", "local_encoder"):
        getattr(policy, name).register_forward_hook(note(name))
    for name in ("query", "value", "project"):
        getattr(policy.fusion, name).register_forward_hook(note(name))
    batch = {k: v.to("meta") for k, v in observation(random_batch(2, 448, 16)).items()}
    assert tuple(quarters(torch.empty(2, 3, 448, 448)).shape) == (8, 3, 224, 224)
    encoding = policy.fuse(batch)
    assert shapes == {
        "global_encoder": (2, 197, 768),
        "local_encoder": (8, 196, 768),
        "query": (2, 196, 768),
        "value": (2, 5, 768),
        "project": (2, 196, 256),
    }
    assert policy.condition_dim == 1031
    assert tuple(encoding.condition.shape) == (2, 1031)
    assert tuple(encoding.attention.shape) == (2, 196, 5)
    assert not any(p.requires_grad for p in policy.local_encoder.parameters())
    assert all(p.requires_grad for p in policy.global_encoder.parameters())


def test_tiny_fits_into_ten_megabytes(tiny: GluePolicy) -> None:
    assert sum(v.numel() * v.element_size() for v in tiny.state_dict().values()) < 10e6


def test_loss_reaches_all_that_learns_and_leaves_the_batch_alone(tiny: GluePolicy) -> None:
    batch = random_batch(2, TINY.image_size_px, TINY.horizon)
    before = {k: v.clone() for k, v in batch.items()}
    tiny.loss(batch, torch.Generator().manual_seed(0)).backward()
    assert all(torch.equal(batch[k], before[k]) for k in batch)
    # The last layers before a softmax over keys have no gradient from a bias that shifts all keys alike.
    still = {n for n, p in tiny.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert still <= {"fusion.key.bias"}
    tiny.zero_grad()


@torch.no_grad()
def test_the_loss_is_the_mean_over_valid_actions(tiny: GluePolicy) -> None:
    batch = random_batch(2, TINY.image_size_px, TINY.horizon)
    # The same action throughout, so that padding by the last valid one changes nothing.
    batch["action"] = batch["action"][:, :1].expand(-1, TINY.horizon, -1)

    def loss(valid: slice) -> float:
        mask = torch.zeros(2, TINY.horizon, dtype=torch.bool)
        mask[:, valid] = True
        return float(tiny.loss(batch | {"action_valid": mask}, torch.Generator().manual_seed(0)))

    whole, head, tail = loss(slice(None)), loss(slice(0, 4)), loss(slice(4, 16))
    assert whole == pytest.approx((4 * head + 12 * tail) / 16, rel=1e-4)
    assert head != pytest.approx(tail, rel=1e-3)
    assert loss(slice(0, 0)) == 0.0


def test_prediction_is_reproducible_and_in_physical_units(tiny: GluePolicy) -> None:
    batch = observation(random_batch(2, TINY.image_size_px, TINY.horizon))
    first, again, other = (tiny.predict(batch, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (2, 16, 10)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    low = tiny.action_range.centre - tiny.action_range.half_range
    high = tiny.action_range.centre + tiny.action_range.half_range
    assert ((first >= low - 1e-5) & (first <= high + 1e-5)).all()


finite = st.floats(-10, 10, width=32)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (5, 3), elements=finite))
def test_normalisation_is_invertible_and_within_one(values: np.ndarray) -> None:
    ranges = RangeNormaliser([0.05, 0.1, 0.02])
    data = torch.from_numpy(values)
    ranges.fit(data)
    normal = ranges.normalise(data)
    assert normal.abs().max() <= 1.0 + 1e-4
    torch.testing.assert_close(ranges.restore(normal), data, atol=1e-5, rtol=1e-5)


def test_a_dimension_that_never_changes_comes_back_as_it_is() -> None:
    ranges = RangeNormaliser([0.05])
    ranges.fit(torch.full((4, 1), 0.37))
    assert (ranges.normalise(torch.full((4, 1), 0.37)) == 0).all()
    assert ranges.restore(torch.zeros(1)).item() == pytest.approx(0.37)


@pytest.mark.parametrize("name", GlueConfig.presets())
def test_configuration_survives_yaml(name: str) -> None:
    config = GlueConfig.preset(name)
    assert from_mapping(GlueConfig, to_mapping(config), "test") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 15}, "15"),
        ({"encoder_heads": 3}, "encoder_heads, which is 3"),
        ({"channels": (64, 60)}, "60"),
        ({"num_inference_steps": 101}, "101"),
        ({"n_obs_steps": 2}, "2"),
        ({"step_dim": 3}, "3"),
        ({"encoder_depth": 0}, "0"),
        ({"action_time_s": 0.0}, "0.0"),
    ],
)
def test_impossible_configurations_name_the_value(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **change)


def test_clip_cannot_be_made_smaller() -> None:
    with pytest.raises(ConfigError, match="384"):
        replace(GlueConfig.preset("paper"), encoder_dim=384)


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tiny'"):
        GlueConfig.preset("tinny")
