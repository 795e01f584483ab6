"""What computes a policy's step for one observation at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from glue_perception.timing import LatencyRecorder
from glue_policy.nets.ddim import Guide
from glue_policy.policies.base import Batch, Policy


class PolicyEngine(ABC):
    """Computes a policy's two parts. The same arguments give the same bits at every call on one machine.

    One thread may call it. The number of key-patches and of denoising steps are fixed when it is built.

    Attributes:
        parts: Gets the durations of an engine's parts where it knows them.
    """

    def __init__(self) -> None:
        self.parts = LatencyRecorder()

    @abstractmethod
    def encode(self, observation: Batch) -> Float[Tensor, "1 w"]:
        """Return the condition vector of an observation (physical units)."""

    @abstractmethod
    def sample(
        self,
        condition: Float[Tensor, "1 w"],
        noise: Float[Tensor, "1 horizon 10"],
        guide: Guide | None = None,
    ) -> Float[Tensor, "1 horizon 10"]:
        """Return the action chunk in physical units, going on from `guide` if there is one.

        The first guided chunk may take seconds longer, for what computes it to be built.
        """


class PolicyEncode(nn.Module):
    """`Policy.encode` of a list of tensors, which is what can be recorded or compiled.

    Args:
        policy: In evaluation mode.
        keys: Of the observation, in the order of the tensors.
    """

    def __init__(self, policy: Policy, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.policy = policy
        self.keys = keys

    def forward(self, *values: Tensor) -> Float[Tensor, "b w"]:
        """Return the condition."""
        return self.policy.encode(dict(zip(self.keys, values, strict=True)))
