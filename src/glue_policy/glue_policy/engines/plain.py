"""The policy itself, op by op: what other engines are held against."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from glue_policy.engines.base import PolicyEngine
from glue_policy.nets.ddim import Guide
from glue_policy.policies.base import Batch, Policy


class PlainEngine(PolicyEngine):
    """Calls the policy's own `encode` and `sample`.

    Args:
        policy: In evaluation mode.
        num_inference_steps: Of `Policy.sample`.
    """

    def __init__(self, policy: Policy, num_inference_steps: int) -> None:
        super().__init__()
        self._policy = policy
        self._num_inference_steps = num_inference_steps

    @torch.inference_mode()
    def encode(self, observation: Batch) -> Float[Tensor, "1 w"]:
        """Return the condition vector of an observation (physical units)."""
        return self._policy.encode(observation)

    @torch.inference_mode()
    def sample(
        self,
        condition: Float[Tensor, "1 w"],
        noise: Float[Tensor, "1 horizon 10"],
        guide: Guide | None = None,
    ) -> Float[Tensor, "1 horizon 10"]:
        """Return the action chunk in physical units; see `PolicyEngine.sample`."""
        return self._policy.sample(condition, noise, self._num_inference_steps, guide)
