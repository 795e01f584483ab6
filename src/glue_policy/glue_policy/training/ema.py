"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps a running mean of a module's learnt parameters; early on it follows quickly.

    Args:
        module: Its parameters with gradients are averaged; frozen ones and buffers are not.
        decay: Share of the old mean that a step keeps in the long run.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self.values: dict[str, Tensor] = {n: p.detach().clone() for n, p in _learnt(module).items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the parameters after optimiser step `step`, counted from 0."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        learnt = _learnt(module)
        torch._foreach_lerp_(
            [self.values[name] for name in learnt], [p.detach() for p in learnt.values()], 1.0 - decay
        )

    def load(self, values: dict[str, Tensor]) -> None:
        """Take over saved means.

        Raises:
            KeyError: one is missing.
            RuntimeError: one has another shape.
        """
        for name, mean in self.values.items():
            mean.copy_(values[name])

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Write the mean into a module of the same architecture."""
        for name, parameter in _learnt(module).items():
            parameter.copy_(self.values[name])

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Let the module hold the mean inside the block and its own parameters, bit for bit, after it."""
        own = {name: parameter.detach().clone() for name, parameter in _learnt(module).items()}
        self.copy_to(module)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in _learnt(module).items():
                    parameter.copy_(own[name])


def _learnt(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}
