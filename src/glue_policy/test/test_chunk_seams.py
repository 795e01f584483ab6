"""Seams between chunks: what is frozen, what is blended, and that every engine computes the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from disc_demonstrations import disc_observation

from glue_perception.errors import ConfigError
from glue_perception.geometry import matrix_from_rotation_6d
from glue_policy.chunk_seams import ChunkSeams, SeamConfig, SeamMode
from glue_policy.engines import build_engine
from glue_policy.engines.config import EngineConfig, EngineName
from glue_policy.nets.ddim import DdimSampler, Guide
from glue_policy.policies import build_policy, policy_config
from glue_policy.policies.configuration import NoiseScheduler, Prediction
from glue_policy.policies.glue.modeling_glue import GluePolicy
from glue_policy.runner import PolicyRunner

HORIZON, DT_S = 16, 0.1
MS = 1_000_000
INPAINT = SeamConfig(SeamMode.INPAINT)


def line(start_m: float, step_m: float = 0.01) -> np.ndarray:
    action = np.zeros((HORIZON, 10))
    action[:, 0] = start_m + step_m * np.arange(HORIZON)
    action[:, 3:9] = [1, 0, 0, 0, 1, 0]
    return action


def seams(config: SeamConfig) -> ChunkSeams:
    return ChunkSeams(config, HORIZON, DT_S)


def test_a_first_chunk_has_nothing_to_go_on_from():
    empty = seams(INPAINT)
    assert empty.draw(0) is None
    np.testing.assert_array_equal(empty.join(0, line(0.3)), line(0.3))


@pytest.mark.parametrize(("delay_ms", "frozen"), [(0, 2), (60, 2), (100, 3), (250, 4), (400, 6)])
def test_what_runs_before_the_new_chunk_takes_over_is_frozen(delay_ms, frozen):
    memory = seams(INPAINT)
    memory.join(0, line(0.3))
    memory.note_in_force(0, delay_ms * MS)
    draw = memory.draw(100 * MS)
    assert draw.frozen == frozen
    np.testing.assert_array_equal(draw.weight[:frozen], 1.0)
    assert np.all(np.diff(draw.weight[frozen - 1 : 15]) < 0)
    assert draw.weight[15] == 0.0
    # Action k of the new chunk is action k + 1 of the old one.
    np.testing.assert_allclose(draw.action[:15, 0], 0.31 + 0.01 * np.arange(15))


def test_the_largest_measured_delay_counts_and_is_forgotten_in_time():
    memory = seams(INPAINT)
    memory.join(0, line(0.3))
    for delay_ms in (350, 60, 60):
        memory.note_in_force(0, delay_ms * MS)
    assert memory.draw(100 * MS).frozen == 5
    for _ in range(5):
        memory.note_in_force(0, 60 * MS)
    assert memory.draw(100 * MS).frozen == 2


def test_times_between_two_actions_are_interpolated():
    memory = seams(INPAINT)
    memory.join(0, line(0.3))
    np.testing.assert_allclose(memory.draw(130 * MS).action[:14, 0], 0.313 + 0.01 * np.arange(14))


def test_old_chunks_and_those_of_another_episode_do_not_count():
    memory = seams(INPAINT)
    memory.join(0, line(0.3))
    assert memory.draw(801 * MS) is None
    memory.join(1000 * MS, line(0.3))
    memory.reset()
    assert memory.draw(1100 * MS) is None


def test_a_chunk_that_the_arm_did_not_follow_is_not_gone_on_from():
    memory = seams(INPAINT)
    memory.join(0, line(0.3))
    memory.note_held(120 * MS)
    assert memory.draw(100 * MS) is None
    memory.join(100 * MS, line(0.3))
    assert memory.draw(200 * MS) is None
    memory.join(200 * MS, line(0.3))
    assert memory.draw(300 * MS) is not None
    # The next episode's clock may begin anew.
    memory.reset()
    memory.join(0, line(0.3))
    assert memory.draw(100 * MS) is not None


def test_ensembling_is_acts_weighted_mean():
    memory = seams(SeamConfig(SeamMode.ENSEMBLE, ensemble_decay=0.5))
    memory.join(0, line(0.0, 0.0))
    memory.join(100 * MS, line(0.1, 0.0))
    blended = memory.join(200 * MS, line(0.4, 0.0))
    oldest, older, new = np.exp([0.0, -0.5, -1.0])
    expected = (older * 0.1 + new * 0.4 + oldest * 0.0) / (oldest + older + new)
    np.testing.assert_allclose(blended[:14, 0], expected)
    np.testing.assert_allclose(blended[14, 0], (older * 0.1 + new * 0.4) / (older + new))
    np.testing.assert_allclose(blended[15, 0], 0.4)


def test_blended_rotations_are_rotations():
    memory = seams(SeamConfig(SeamMode.ENSEMBLE))
    first, second = line(0.3), line(0.3)
    second[:, 3:9] = [0, 1, 0, -1, 0, 0]
    memory.join(0, first)
    R = matrix_from_rotation_6d(memory.join(100 * MS, second)[:, 3:9])
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.tile(np.eye(3), (HORIZON, 1, 1)), atol=1e-9)


@pytest.mark.parametrize("prediction", Prediction)
@pytest.mark.parametrize("steps", [1, 8, 100])
def test_guided_sampling_keeps_the_known_part_and_leaves_the_rest(prediction, steps):
    sampler = DdimSampler(100, prediction)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, HORIZON, 10, generator=generator)
    known = torch.rand(2, HORIZON, 10, generator=generator) * 1.6 - 0.8
    table = torch.randn(100, 1, 10, generator=generator)

    def model(noisy, step):
        return 0.3 * noisy + 0.2 * table[step]

    free = sampler.sample(model, noise, steps)
    nothing = sampler.sample_guided(model, noise, steps, Guide(known, torch.zeros(2, HORIZON, 1)))
    torch.testing.assert_close(nothing, free, atol=1e-5, rtol=1e-4)
    weight = torch.zeros(2, HORIZON, 1)
    weight[:, :5] = 1.0
    mixed = sampler.sample_guided(model, noise, steps, Guide(known, weight))
    torch.testing.assert_close(mixed[:, :5], known[:, :5], atol=1e-5, rtol=0)
    # This model looks at no neighbour, so the rest is as without a guide.
    torch.testing.assert_close(mixed[:, 5:], free[:, 5:], atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def policy() -> GluePolicy:
    torch.manual_seed(0)
    policy = build_policy("glue", policy_config("glue", "tiny")).eval()
    low = torch.tensor([0.3, -0.3, 0.0, 0.8, -0.2, -0.2, -0.2, -1.0, -0.2, 0.0])
    high = torch.tensor([0.7, 0.3, 0.5, 1.0, 0.2, 0.2, 0.2, -0.8, 0.2, 0.08])
    policy.fit_ranges(torch.stack([low, high]), torch.tensor([[-2.5] * 7, [2.5] * 7]))
    return policy


def runner(policy, mode: SeamMode, engine: EngineName = EngineName.TORCH) -> PolicyRunner:
    return PolicyRunner(
        policy, seed=1, num_inference_steps=4, engine=EngineConfig(engine), seams=SeamConfig(mode)
    )


def jump_m(chunks: list, delay_s: float) -> float:
    """Return the step of the target where the second chunk takes over from the first."""
    first, second = chunks
    at = second.stamp_ns / 1e9 + delay_s

    def there(chunk) -> np.ndarray:
        times = chunk.stamp_ns / 1e9 + chunk.dt_s * np.arange(len(chunk))
        return np.array([np.interp(at, times, column) for column in chunk.position_m.T])

    return float(np.linalg.norm(there(second) - there(first)))


@pytest.mark.parametrize("delay_ms", [60, 130, 300])
def test_an_inpainted_chunk_takes_over_without_a_step(policy, delay_ms):
    jumps = {}
    for mode in SeamMode:
        flying = runner(policy, mode)
        flying.warm_up(15)
        flying.note_in_force(0, delay_ms * MS)
        # Another picture, so that the policy wants something else.
        chunks = [flying.infer(disc_observation(seed, stamp)) for seed, stamp in ((0, 0), (7, 400 * MS))]
        jumps[mode] = jump_m(chunks, delay_ms / 1e3)
        assert chunks[1].frozen == (delay_ms // 100 + 2 if mode is SeamMode.INPAINT else 0)
    assert jumps[SeamMode.INPAINT] < 1e-4
    assert jumps[SeamMode.HARD] > 0.005
    assert jumps[SeamMode.INPAINT] < jumps[SeamMode.ENSEMBLE] < jumps[SeamMode.HARD]


def test_a_record_of_what_was_frozen_gives_the_same_bits(policy):
    observations = [disc_observation(i, 100 * i * MS) for i in range(4)]
    live = runner(policy, SeamMode.INPAINT)
    live.warm_up(15)
    chunks = []
    for index, observation in enumerate(observations):
        chunks.append(live.infer(observation))
        live.note_in_force(observation.stamp_ns, observation.stamp_ns + (50 + 70 * index) * MS)
    replayed = runner(policy, SeamMode.INPAINT)
    for observation, chunk in zip(observations, chunks, strict=True):
        again = replayed.infer(observation, frozen=chunk.frozen)
        assert again.frozen == chunk.frozen
        for field in ("position_m", "rotation_6d", "gripper_width_m"):
            np.testing.assert_array_equal(getattr(again, field), getattr(chunk, field))
    assert len({chunk.frozen for chunk in chunks}) > 2


@pytest.mark.parametrize("name", EngineName)
def test_engines_agree_on_a_guided_chunk(policy, name):
    if name is EngineName.OPENVINO:
        pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    generator = torch.Generator().manual_seed(3)
    condition = torch.randn(1, policy.condition_dim, generator=generator)
    noise = torch.randn(1, HORIZON, 10, generator=generator)
    weight = torch.linspace(1, 0, HORIZON)[None, :, None]
    with torch.no_grad():
        guide = Guide(policy.sample(condition + 0.5, noise, 4), weight)
        expected = policy.sample(condition, noise, 4, guide)
        engine = build_engine(EngineConfig(name), policy, 15, 4)
        torch.testing.assert_close(engine.sample(condition, noise, guide), expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(engine.sample(condition, noise, guide), expected, atol=1e-4, rtol=0)


def test_a_policy_that_cannot_go_on_from_a_chunk_is_refused():
    act = build_policy("act", policy_config("act", "tiny"))
    with pytest.raises(ConfigError, match=r"act cannot go on .* choose 'ensemble'"):
        PolicyRunner(act, seed=0, seams=INPAINT)
    config = policy_config("glue_s", "tiny")
    slow = build_policy("glue_s", replace(config, noise_scheduler=NoiseScheduler.DDPM))
    with pytest.raises(ConfigError, match="inpaint"):
        PolicyRunner(slow, seed=0, seams=INPAINT, engine=EngineConfig(EngineName.TORCH))


@pytest.mark.parametrize(
    "wrong", [{"ensemble_decay": -1.0}, {"first_delay_s": float("nan")}, {"max_age_s": 0.0}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SeamConfig(**wrong)
