"""How long a step takes on each engine, how far the engines' chunks lie apart, and what share of the peak it uses."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm, trange

from glue_perception.timing import LatencyRecorder
from glue_policy.benchmark.flops import executed_gflop, gflop_of, parts_of
from glue_policy.benchmark.machine import about_machine, matrix_peak_gflops
from glue_policy.engines import build_engine
from glue_policy.engines.base import PolicyEngine
from glue_policy.engines.config import EngineConfig, EngineName, Precision
from glue_policy.engines.quartered import QUARTERS
from glue_policy.nets.vit import TOKENS_PER_SIDE
from glue_policy.policies.base import KEY_PATCH_KEYS, Batch, Policy

PLAIN = EngineConfig(EngineName.TORCH)
UNCHANGED = "unchanged"
WORKSPACE_LOW = (0.3, -0.25, 0.0) + (-1.0,) * 6 + (0.0,)
WORKSPACE_HIGH = (0.8, 0.25, 0.5) + (1.0,) * 6 + (0.08,)
"""Actions of a policy with random weights: a workspace of 0.5 m, rotations, gripper widths."""


def label_of(config: EngineConfig) -> str:
    """Return an engine's name in reports, e.g. `openvino int8`."""
    return f"{config.name.value} {config.precision.value}"


@dataclass(frozen=True)
class StepBenchmark:
    """What to measure.

    Attributes:
        engines: Beside the plain policy, which is always measured.
        repetitions: Of every engine and scene, taken in turns, so that a busy machine slows all alike.
        threads: Of every engine.
        num_key_patches: Per observation.
        num_inference_steps: Denoising steps; None for the policy's own.
        seed: Of observations and noise.
    """

    engines: tuple[EngineConfig, ...]
    repetitions: int = 20
    threads: int = 1
    num_key_patches: int = 15
    num_inference_steps: int | None = None
    seed: int = 0

    def run(self, policy: Policy) -> dict[str, Any]:
        """Return the report: plain numbers and texts, ready for JSON. Sets torch's number of threads."""
        before = about_machine()
        peaks = matrix_peak_gflops(self.threads)
        steps = policy.inference_steps(self.num_inference_steps)
        scenes = self._scenes(policy)
        configs = tqdm((PLAIN, *self.engines), "build", unit="engine", leave=False, dynamic_ncols=True)
        runs = [self._build(policy, steps, config) for config in configs]
        example = random_observation(policy, self.num_key_patches, QUARTERS, self.seed)
        noise = policy.draw_noise(1, torch.Generator().manual_seed(self.seed))
        parts = parts_of(policy, example, noise, steps)
        gflop = gflop_of(parts)
        part_times = LatencyRecorder()
        for repetition in trange(self.repetitions, desc="measure", unit="round", dynamic_ncols=True):
            self._round(policy, runs, scenes, repetition)
            for name, part in parts.items():
                with part_times.measure(name), torch.inference_mode():
                    part()
        plain = runs[0]
        report: dict[str, Any] = {
            "policy": policy.name,
            "num_inference_steps": steps,
            "num_key_patches": self.num_key_patches,
            "threads": self.threads,
            "repetitions": self.repetitions,
            "machine": {**before, "load_1_min_after": about_machine()["load_1_min"]},
            "matrix_peak_gflops": peaks,
            "gflop": {**gflop, "step": round(sum(gflop.values()), 4)},
            "plain": {
                **plain.times[scenes[-1]].summary(),
                "parts_ms": {name: times["p50"] for name, times in part_times.summary().items()},
                "share_of_peak": _share(sum(gflop.values()), plain.times[scenes[-1]].median_ms, peaks),
            },
            "engines": {},
        }
        for run in runs[1:]:
            report["engines"][label_of(run.config)] = run.report(plain, gflop, peaks)
        return report

    def _build(self, policy: Policy, steps: int, config: EngineConfig) -> _Run:
        start = time.perf_counter()
        engine = build_engine(config, policy, self.num_key_patches, steps, self.threads)
        return _Run(config, engine, time.perf_counter() - start)

    def _scenes(self, policy: Policy) -> list[str]:
        if policy.needs >= KEY_PATCH_KEYS:
            return [scene_name(count) for count in range(1, QUARTERS + 1)]
        return [scene_name(0)]

    def _round(self, policy: Policy, runs: Sequence[_Run], scenes: list[str], repetition: int) -> None:
        generator = torch.Generator().manual_seed(1_000 * self.seed + repetition)
        noise = policy.draw_noise(1, generator)
        for count, scene in enumerate(scenes, 1):
            seed = 10 * (1_000 * self.seed + repetition) + count
            observation = random_observation(policy, self.num_key_patches, count, seed)
            reference: Tensor | None = None
            for run in runs:
                chunk = run.step(scene, observation, noise)
                reference = chunk if reference is None else reference
                run.compare(scene, chunk, reference, policy)
        if len(scenes) > 1:
            for run in runs[1:]:
                run.step(UNCHANGED, observation, noise)


def scene_name(quarters: int) -> str:
    """Return the name of observations whose visible key-patches lie in so many quarters; 0 for all others."""
    return f"key-patches in {quarters}" if quarters else "any"


def random_observation(policy: Policy, num_key_patches: int, quarters: int, seed: int) -> Batch:
    """Return an observation with a smooth random image and all key-patches in the first so many quarters."""
    generator = torch.Generator().manual_seed(seed)
    found: Batch = {}
    for key, value in policy.example_observation(num_key_patches).items():
        if key == "image":
            coarse = torch.rand(1, 3, 9, 9, generator=generator) * 255.0
            smooth = functional.interpolate(coarse, value.shape[-2:], mode="bilinear", align_corners=False)
            noisy = smooth + 4.0 * torch.randn(smooth.shape, generator=generator)
            found[key] = noisy.clamp(0.0, 255.0).to(torch.uint8)
        elif key == "row_col":
            inside = torch.randint(0, TOKENS_PER_SIDE, value.shape, generator=generator)
            which = torch.arange(num_key_patches) % max(1, quarters)
            found[key] = inside + TOKENS_PER_SIDE * torch.stack([which // 2, which % 2], dim=-1)
        elif key == "visible":
            found[key] = value
        else:
            found[key] = torch.rand(value.shape, generator=generator)
    return found


def realistic_ranges(policy: Policy) -> None:
    """Give a policy with random weights the ranges of a workspace of 0.5 m."""
    policy.fit_ranges(torch.tensor([WORKSPACE_LOW, WORKSPACE_HIGH]), torch.tensor([[-2.5] * 7, [2.5] * 7]))


@dataclass
class _Times:
    wall_ms: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        return float(np.median(self.wall_ms))

    def summary(self) -> dict[str, float]:
        """Return median and 95th percentile of the time, and the median of the process's processor time."""
        return {
            "median_ms": round(self.median_ms, 3),
            "p95_ms": round(float(np.percentile(self.wall_ms, 95)), 3),
            "processor_median_ms": round(float(np.median(self.processor_ms)), 3),
        }


class _Run:
    def __init__(self, config: EngineConfig, engine: PolicyEngine, build_s: float) -> None:
        self.config, self.engine, self.build_s = config, engine, build_s
        self.times: dict[str, _Times] = {}
        self._quarters: dict[str, int | None] = {}
        self._differences: dict[str, list[Tensor]] = {}
        self._parts: dict[str, LatencyRecorder] = {}

    def step(self, scene: str, observation: Batch, noise: Tensor) -> Tensor:
        times = self.times.setdefault(scene, _Times())
        self.engine.parts = self._parts.setdefault(scene, LatencyRecorder())
        wall, processor = time.perf_counter(), time.process_time()
        chunk = self.engine.sample(self.engine.encode(observation), noise)
        times.wall_ms.append((time.perf_counter() - wall) * 1e3)
        times.processor_ms.append((time.process_time() - processor) * 1e3)
        self._quarters[scene] = getattr(self.engine, "encoded_quarters", None)
        return chunk

    def compare(self, scene: str, chunk: Tensor, reference: Tensor, policy: Policy) -> None:
        difference = (chunk - reference).abs()[0]
        normal = difference / policy.action_range.half_range
        self._differences.setdefault(scene, []).append(torch.stack([difference, normal]))

    def report(self, plain: _Run, gflop: dict[str, float], peaks: dict[str, float]) -> dict[str, Any]:
        found: dict[str, Any] = {"build_s": round(self.build_s, 2), "scenes": {}}
        for scene, times in self.times.items():
            against = plain.times[list(plain.times)[-1] if scene == UNCHANGED else scene]
            mine, theirs = times.summary(), against.summary()
            executed = executed_gflop(gflop, self._quarters[scene])
            found["scenes"][scene] = {
                **mine,
                "speed_up": round(theirs["median_ms"] / mine["median_ms"], 2),
                "speed_up_processor": round(theirs["processor_median_ms"] / mine["processor_median_ms"], 2),
                "parts_ms": {n: t["p50"] for n, t in self._parts[scene].summary().items()},
                "encoded_quarters": self._quarters[scene],
                "gflop": round(executed, 4),
                "share_of_peak": _share(executed, times.median_ms, peaks),
            }
            if scene in self._differences:
                found["scenes"][scene]["difference"] = _difference(torch.stack(self._differences[scene]))
        return found


def _share(gflop: float, duration_ms: float, peaks: dict[str, float]) -> dict[str, float]:
    """Return the share of each measured peak: operations done in the time, over those the peak would do."""
    return {name: round(gflop / (duration_ms / 1e3) / peak, 3) for name, peak in peaks.items()}


def _difference(values: Tensor) -> dict[str, float]:
    """Return the largest and the mean difference to the plain chunk; `values` is [r 2 horizon 10]."""
    plain, normal = values[:, 0], values[:, 1]
    numbers = {
        "position_max_mm": plain[..., :3].max() * 1e3,
        "position_mean_mm": plain[..., :3].mean() * 1e3,
        # A difference of the columns of a rotation matrix is the angle in rad where it is small.
        "rotation_6d_max": plain[..., 3:9].max(),
        "rotation_6d_mean": plain[..., 3:9].mean(),
        "gripper_max_mm": plain[..., 9].max() * 1e3,
        "normalised_max": normal.max(),
        "normalised_mean": normal.mean(),
    }
    return {name: _rounded(float(value)) for name, value in numbers.items()}


def _rounded(value: float) -> float:
    return round(value, 6 - math.floor(math.log10(value))) if value > 0 else 0.0


def known_engines() -> dict[str, EngineConfig]:
    """Return every engine that can be measured by its name in reports, the plain one left out."""
    found = [EngineConfig(EngineName.TRACED)]
    found += [EngineConfig(EngineName.OPENVINO, precision) for precision in Precision]
    return {label_of(config).replace(" ", "-"): config for config in found}
