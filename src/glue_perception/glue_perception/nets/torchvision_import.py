"""Importing torchvision where its compiled operators do not fit torch, which is so for torch's CPU builds.

The common build of torchvision is for CUDA. Beside a CPU build of torch its operators do not load, and its import
fails because it describes operators that do not exist. Nothing here calls them, so it is enough to declare them.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

_SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def import_torchvision() -> Any:
    """Import torchvision, with or without its compiled operators, and return a handle that must be kept.

    Raises:
        ImportError: it is not installed.
    """
    from torch import library as operators

    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        declared: Any = operators.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for signature in _SIGNATURES:
            declared.define(signature)
        # The declarations vanish with what declared them.
        return importlib.import_module("torchvision"), declared
