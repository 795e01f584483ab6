"""Tensors by name from a file: safetensors, or a pickle read as plain tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from glue_perception.errors import WeightsError


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a .safetensors file, or of a .pth, .pt or .bin file read with `weights_only`.

    A dictionary that holds the tensors under "model" or "state_dict", as training scripts save them, is opened.

    Raises:
        WeightsError: the file is unreadable, or holds something else than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, torch.Tensor] = load_file(path)
            return tensors
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # whatever a damaged file makes of the two readers; a pickle has many ways to be wrong
        raise WeightsError(
            f"cannot read {path}: {str(error)[:200]}. Fetch it again: `glue weights fetch {path.parent.name}`"
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise WeightsError(f"{path} holds no dictionary of tensors; it is not a file of weights")
    return {str(name): tensor for name, tensor in content.items()}


def fill(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy tensors into a model; ones that it does not know are left out.

    Raises:
        WeightsError: tensors are missing or of another shape.
    """
    try:
        missing = model.load_state_dict(tensors, strict=False).missing_keys
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit {type(model).__name__}: {str(error)[:300]}") from error
    if missing:
        raise WeightsError(
            f"{path} lacks {len(missing)} tensors of {type(model).__name__}, e.g. {missing[0]}"
        )
