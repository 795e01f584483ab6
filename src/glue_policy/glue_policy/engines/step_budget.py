"""How many denoising steps fit into a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from glue_perception.errors import ConfigError
from glue_policy.engines.base import PolicyEngine
from glue_policy.policies.base import ACTION_DIM, Policy

MEASUREMENTS = 5


def steps_within(budget_ms: float, num_inference_steps: int, encode_ms: float, sample_ms: float) -> int:
    """Return the largest number of denoising steps, at most `num_inference_steps`, that fits.

    Args:
        budget_ms: For a whole policy step.
        num_inference_steps: With which `sample_ms` was measured; the time is taken to be in proportion.
        encode_ms: What does not depend on the number.
        sample_ms: What does.

    Raises:
        ConfigError: not even one step fits; the message gives the measured times.
    """
    fitting = int(num_inference_steps * (budget_ms - encode_ms) / sample_ms)
    if fitting < 1:
        raise ConfigError(
            f"budget_ms {budget_ms:g} is too little on this machine: encoding takes {encode_ms:.1f} ms and one "
            f"denoising step {sample_ms / num_inference_steps:.1f} ms; choose a faster engine or a larger budget"
        )
    return min(fitting, num_inference_steps)


def measure(engine: PolicyEngine, policy: Policy, num_key_patches: int) -> tuple[float, float]:
    """Return the median times of `encode` and `sample` in ms, on an observation of zeros that changes each time."""
    observation = policy.example_observation(num_key_patches)
    noise = torch.zeros(1, policy.config.horizon, ACTION_DIM)
    encode_ms, sample_ms = [], []
    for index in range(MEASUREMENTS + 1):
        if "image" in observation:
            # Else an engine would reuse what it knows.
            observation["image"] = torch.full_like(observation["image"], index)
        duration_ms, condition = _timed(lambda: engine.encode(observation))
        encode_ms.append(duration_ms)
        sample_ms.append(_timed(lambda: engine.sample(condition, noise))[0])  # noqa: B023 called at once
    return statistics.median(encode_ms[1:]), statistics.median(sample_ms[1:])


def _timed(call: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    result = call()
    return (time.perf_counter() - start) * 1e3, result
