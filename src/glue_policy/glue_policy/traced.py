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
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from glue_policy.policies.base import ACTION_DIM
from glue_policy.policies.glue.modeling_glue import GluePolicy

WARM_UP_CALLS = 3
"""TorchScript's first calls are for its own measurements."""


class _Encode(nn.Module):
    def __init__(self, policy: GluePolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, image: Tensor, row_col: Tensor, xy: Tensor, visible: Tensor, joints: Tensor) -> Tensor:
        condition: Tensor = self.policy.encode(image, row_col, xy, visible, joints).condition
        return condition


class _Sample(nn.Module):
    def __init__(self, policy: GluePolicy, num_inference_steps: int) -> None:
        super().__init__()
        self.policy = policy
        self.num_inference_steps = num_inference_steps

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        chunk: Tensor = self.policy.sample(condition, noise, self.num_inference_steps)
        return chunk


class TracedGlue:
    """The two graphs for one observation at a time and a fixed number of key-patches.

    Takes about a second to build. The results differ from the policy's own in the last bits only (tested), and are
    the same bits at every call.

    Args:
        policy: In evaluation mode; its weights are copied into the graphs.
        num_key_patches: Of every observation.
        num_inference_steps: DDIM steps.
    """

    def __init__(self, policy: GluePolicy, num_key_patches: int, num_inference_steps: int) -> None:
        size = policy.config.image_size_px
        observation = (
            torch.zeros(1, 3, size, size, dtype=torch.uint8),
            torch.zeros(1, num_key_patches, 2, dtype=torch.int64),
            torch.zeros(1, num_key_patches, 2),
            torch.ones(1, num_key_patches, dtype=torch.bool),
            torch.zeros(1, 7),
        )
        noise = torch.zeros(1, policy.config.horizon, ACTION_DIM)
        with torch.no_grad():
            self._encode = _record(_Encode(policy), observation)
            condition = torch.zeros(1, policy.condition_dim)
            self._sample = _record(_Sample(policy, num_inference_steps), (condition, noise))
        with torch.inference_mode():
            for _ in range(WARM_UP_CALLS):
                self.sample(self.encode(*observation), noise)

    def encode(
        self,
        image: UInt8[Tensor, "1 3 s s"],
        row_col: Int[Tensor, "1 n 2"],
        xy: Float[Tensor, "1 n 2"],
        visible: Bool[Tensor, "1 n"],
        joint_position: Float[Tensor, "1 7"],
    ) -> Float[Tensor, "1 w"]:
        """Return the condition vector of an observation (physical units)."""
        condition: Tensor = self._encode(image, row_col, xy, visible, joint_position)
        return condition

    def sample(
        self, condition: Float[Tensor, "1 w"], noise: Float[Tensor, "1 horizon 10"]
    ) -> Float[Tensor, "1 horizon 10"]:
        """Return the action chunk in physical units."""
        chunk: Tensor = self._sample(condition, noise)
        return chunk


def _record(module: nn.Module, example: tuple[Tensor, ...]) -> Any:
    with warnings.catch_warnings():
        # Of deprecation, and of Python values becoming constants, which is the purpose.
        warnings.simplefilter("ignore")
        graph = torch.jit.trace(module.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        return torch.jit.freeze(graph)
