import json

import pytest
import torch

from glue_policy.benchmark.flops import executed_gflop, gflop_of, parts_of
from glue_policy.benchmark.lerobot_figures import INTERPRETER_VARIABLE, lerobot_figures
from glue_policy.benchmark.policy_step import (
    UNCHANGED,
    StepBenchmark,
    known_engines,
    random_observation,
    realistic_ranges,
)
from glue_policy.engines.config import EngineConfig, EngineName
from glue_policy.policies import build_policy, policy_config
from glue_policy.policies.base import Policy

SCENES = {*(f"key-patches in {count}" for count in range(1, 5)), UNCHANGED}


def tiny(name: str) -> Policy:
    torch.manual_seed(0)
    policy = build_policy(name, policy_config(name, "tiny")).eval()
    realistic_ranges(policy)
    return policy


def test_a_report_holds_everything_and_is_plain_data() -> None:
    benchmark = StepBenchmark((EngineConfig(EngineName.TRACED),), repetitions=2, num_inference_steps=2)
    report = json.loads(json.dumps(benchmark.run(tiny("glue"))))
    parts = {"global encoder", "local encoder", "fusion", "head"}
    assert set(report["matrix_peak_gflops"]) == {"float32", "bfloat16", "int8"}
    assert set(report["gflop"]) == {*parts, "step"}
    assert set(report["plain"]["parts_ms"]) == parts
    assert {"median_ms", "p95_ms", "processor_median_ms", "share_of_peak"} <= set(report["plain"])
    assert {"processor", "matrix_instructions", "cores", "load_1_min", "load_1_min_after"} <= set(
        report["machine"]
    )
    scenes = report["engines"]["traced float32"]["scenes"]
    assert set(scenes) == SCENES
    for scene, values in scenes.items():
        assert values["speed_up"] > 0
        assert values["p95_ms"] >= values["median_ms"] > 0
        if scene != UNCHANGED:
            assert values["difference"]["position_max_mm"] < 0.05
            assert values["difference"]["position_max_mm"] >= values["difference"]["position_mean_mm"]


def test_a_policy_without_key_patches_has_one_kind_of_observation() -> None:
    benchmark = StepBenchmark((EngineConfig(EngineName.TRACED),), repetitions=1)
    report = benchmark.run(tiny("act"))
    assert set(report["engines"]["traced float32"]["scenes"]) == {"any"}
    assert set(report["plain"]["parts_ms"]) == {"encoder", "head"}


def test_operations_are_counted_as_by_hand() -> None:
    policy = tiny("glue")
    observation = random_observation(policy, 15, 4, seed=0)
    noise = policy.draw_noise(1, torch.Generator().manual_seed(0))
    one, three = (gflop_of(parts_of(policy, observation, noise, steps)) for steps in (1, 3))
    assert three["head"] == pytest.approx(3 * one["head"], rel=0.01)
    dim, tokens, quarters = policy.condition_dim - 256 - 7, 196, 4
    assert one["local encoder"] == pytest.approx(2e-9 * quarters * tokens * dim * 3 * 8 * 8, abs=1e-4)
    assert executed_gflop(one, 1) == pytest.approx(sum(one.values()) - 0.75 * one["local encoder"])


def test_engines_have_names_for_the_command_line() -> None:
    assert set(known_engines()) == {
        "traced-float32",
        "openvino-float32",
        "openvino-bfloat16",
        "openvino-int8",
    }


def test_lerobot_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER_VARIABLE, "/no/such/python")
    assert "/no/such/python" in lerobot_figures(1, 1, 1)["skipped"]
