"""Mixed precision: autocast around the loss, and the loss scaler that float16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from glue_perception.errors import ConfigError
from glue_perception.nets.compute import Precision


class MixedPrecision:
    """Autocast, backward and optimiser step in one precision.

    Args:
        precision: See `Precision`.
        device: Of the network.

    Raises:
        ConfigError: float16 without CUDA.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        if precision is Precision.FLOAT16 and device.type != "cuda":
            raise ConfigError("precision float16 needs CUDA; take bfloat16 on a CPU")
        self._precision = precision
        self._device = device
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision is Precision.FLOAT16)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for forward passes."""
        if self._precision is Precision.FLOAT32:
            return nullcontext()
        dtype = torch.bfloat16 if self._precision is Precision.BFLOAT16 else torch.float16
        return torch.autocast(self._device.type, dtype=dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to the parameters', scaled where float16 needs it."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def clip(self, module: nn.Module, optimiser: torch.optim.Optimizer, norm: float) -> float | None:
        """Bound the gradients' norm and return what it was; None where the scaler will skip this step."""
        self._scaler.unscale_(optimiser)
        before = float(torch.nn.utils.clip_grad_norm_(module.parameters(), norm))
        # Under float16 an overflow is how the scaler finds its scale; such a step is left out and no fault.
        if self._scaler.is_enabled() and not torch.isfinite(torch.tensor(before)):
            return None
        return before

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """Let the optimiser step, unless gradients overflowed under float16."""
        self._scaler.step(optimiser)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Return what `load` needs to go on."""
        return self._scaler.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Take a state of `state`."""
        if state:
            self._scaler.load_state_dict(state)
