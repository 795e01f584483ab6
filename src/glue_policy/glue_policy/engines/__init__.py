"""Engines: ways to compute the same policy, chosen by name and imported when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glue_policy.engines.config import EngineConfig, EngineName

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
    if config.name is EngineName.OPENVINO:
        from glue_policy.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(policy, num_key_patches, steps, config, threads)
    if config.name is EngineName.TRACED:
        from glue_policy.traced import TracedPolicy

        return TracedPolicy(policy, num_key_patches, steps)
    from glue_policy.engines.plain import PlainEngine

    return PlainEngine(policy, steps)
