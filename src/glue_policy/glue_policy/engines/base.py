"""What computes a policy's step for one observation at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from glue_perception.timing import LatencyRecorder
from glue_policy.nets.ddim import Guide
from glue_policy.policies.base import Batch


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
