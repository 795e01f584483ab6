"""Engines: ways to compute the same policy, chosen by name and imported when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glue_perception.errors import ConfigError
from glue_policy.engines.config import EngineConfig, EngineName
from glue_policy.policies.configuration import NoiseScheduler

if TYPE_CHECKING:
    from glue_policy.engines.base import PolicyEngine
    from glue_policy.policies.base import Policy


def build_engine(
    config: EngineConfig,
    policy: Policy,
    num_key_patches: int,
    num_inference_steps: int | None = None,
    threads: int = 1,
) -> PolicyEngine:
    """Return the engine that `config` names, ready for use.

    Args:
        config: See `EngineConfig`.
        policy: In evaluation mode, on the CPU.
        num_key_patches: Of every observation; a policy that needs no key-patches ignores it.
        num_inference_steps: Of `Policy.sample`; None for the policy's own number.
        threads: Of the engine; torch's own number is the caller's to set.

    Raises:
        ConfigError: the engine cannot compute this policy.
        MissingDependencyError: the engine's package is not installed; the message names the command.
    """
    steps = policy.inference_steps(num_inference_steps)
    scheduler = getattr(policy.config, "noise_scheduler", NoiseScheduler.DDIM)
    if scheduler is not NoiseScheduler.DDIM and config.name is not EngineName.TORCH:
        raise ConfigError(
            f"engine {config.name.value!r} computes noise_scheduler 'ddim' only, since {scheduler.value!r} draws "
            "noise in every step; choose engine 'torch'"
        )
    if config.name is EngineName.OPENVINO:
        from glue_policy.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(policy, num_key_patches, steps, config, threads)
    if config.name is EngineName.TRACED:
        from glue_policy.engines.traced import TracedPolicy

        return TracedPolicy(policy, num_key_patches, steps)
    from glue_policy.engines.plain import PlainEngine

    return PlainEngine(policy, steps)
