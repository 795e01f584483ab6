"""Parts of a network that mixed precision must leave alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which float32 stays float32.

    bfloat16 has 8 bits: as a coordinate across half a metre it is 2 mm coarse.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
