"""A policy recorded once as two TorchScript graphs, so that a step is two calls that do not need Python.

Run op by op, a step goes through Python some two thousand times, and each time waits for whichever thread of the
process holds the interpreter: beside perception and a 100 Hz control thread that doubles its time. Recorded, it runs
without the interpreter, and in half the time even alone. TorchScript is deprecated, but torch.compile needs a
compiler on the robot's computer; torch's version is locked.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glue_policy.engines.base import PolicyEncode, PolicyEngine
from glue_policy.nets.ddim import Guide
from glue_policy.policies.base import ACTION_DIM, Batch, Policy

WARM_UP_CALLS = 3
"""TorchScript's first calls are for its own measurements."""


class _Sample(nn.Module):
    def __init__(self, policy: Policy, num_inference_steps: int | None) -> None:
        super().__init__()
        self.policy = policy
        self.num_inference_steps = num_inference_steps

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        return self.policy.sample(condition, noise, self.num_inference_steps)


class _SampleGuided(nn.Module):
    def __init__(self, policy: Policy, num_inference_steps: int | None) -> None:
        super().__init__()
        self.policy = policy
        self.num_inference_steps = num_inference_steps

    def forward(self, condition: Tensor, noise: Tensor, action: Tensor, weight: Tensor) -> Tensor:
        return self.policy.sample(condition, noise, self.num_inference_steps, Guide(action, weight))


class TracedPolicy(PolicyEngine):
    """The two graphs for one observation at a time and a fixed number of key-patches.

    Takes about a second to build. The results differ from the policy's own in the last bits only (tested), and are
    the same bits at every call.

    Args:
        policy: In evaluation mode; its weights are copied into the graphs.
        num_key_patches: Of every observation; a policy that needs no key-patches ignores it.
        num_inference_steps: Of `Policy.sample`; None for the policy's own number.
    """

    def __init__(self, policy: Policy, num_key_patches: int, num_inference_steps: int | None = None) -> None:
        super().__init__()
        observation = policy.example_observation(num_key_patches)
        self._keys = tuple(sorted(policy.needs))
        noise = torch.zeros(1, policy.config.horizon, ACTION_DIM)
        with torch.no_grad():
            self._encode = _record(
                PolicyEncode(policy, self._keys), tuple(observation[k] for k in self._keys)
            )
            condition = torch.zeros(1, policy.condition_dim)
            self._sample = _record(_Sample(policy, num_inference_steps), (condition, noise))
        self._sample_guided: Any = None
        self._guided = _SampleGuided(policy, num_inference_steps)
        with torch.inference_mode():
            for _ in range(WARM_UP_CALLS):
                self.sample(self.encode(observation), noise)

    def encode(self, observation: Batch) -> Float[Tensor, "1 w"]:
        """Return the condition vector of an observation (physical units)."""
        condition: Tensor = self._encode(*(observation[key] for key in self._keys))
        return condition

    def sample(
        self,
        condition: Float[Tensor, "1 w"],
        noise: Float[Tensor, "1 horizon 10"],
        guide: Guide | None = None,
    ) -> Float[Tensor, "1 horizon 10"]:
        """Return the action chunk in physical units; see `PolicyEngine.sample`."""
        if guide is None:
            chunk: Tensor = self._sample(condition, noise)
            return chunk
        values = (condition, noise, guide.action, guide.weight)
        if self._sample_guided is None:
            self._sample_guided = self._record_guided(values)
        guided: Tensor = self._sample_guided(*values)
        return guided

    def _record_guided(self, values: tuple[Tensor, ...]) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            graph = _record(self._guided, tuple(value.clone() for value in values))
        with torch.inference_mode():
            for _ in range(WARM_UP_CALLS):
                graph(*values)
        return graph


def _record(module: nn.Module, example: tuple[Tensor, ...]) -> Any:
    with warnings.catch_warnings():
        # Of deprecation, and of Python values becoming constants, which is the purpose.
        warnings.simplefilter("ignore")
        graph = torch.jit.trace(module.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        return torch.jit.freeze(graph)
