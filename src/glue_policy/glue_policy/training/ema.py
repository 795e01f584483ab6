"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps a running mean of a module's parameters; early on it follows quickly.

    Args:
        module: Its parameters are averaged; buffers are not.
        decay: Share of the old mean that a step keeps in the long run.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self.values: dict[str, Tensor] = {n: p.detach().clone() for n, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the parameters after optimiser step `step`, counted from 0."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        for name, parameter in module.named_parameters():
            self.values[name].lerp_(parameter.detach(), 1.0 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Write the mean into a module of the same architecture."""
        for name, parameter in module.named_parameters():
            parameter.copy_(self.values[name])
