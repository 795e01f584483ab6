"""A checkpoint is a directory: weights (safetensors), configuration (YAML), provenance (JSON). Data, never code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from glue_perception.config import from_mapping, read_yaml, suggest, to_mapping
from glue_perception.errors import CheckpointError, ConfigError
from glue_policy.policies import POLICIES, build_policy, policy_entry
from glue_policy.policies.base import ACTION_DIM, Policy
from glue_policy.policies.configuration import PolicyConfig

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.yaml"
PROVENANCE_FILE = "provenance.json"
SHIPPED_DIRECTORY = Path(__file__).parent / "checkpoints"

_FORMAT = "glue_checkpoint_1"

ACTION_SPACE = ["position_m[3]", "rotation_6d[6]", "gripper_width_m[1]"]
"""What an action's values mean, in this order: absolute, in the base frame. Checkpoints carry it, so that one made
for other actions is refused by name; those from before it was written down are of this space."""


def save_policy(directory: Path, policy: Policy, provenance: dict[str, Any]) -> None:
    """Write a checkpoint; what was there is replaced file by file, each only when it is complete.

    Raises:
        CheckpointError: the directory cannot be written.
    """
    config = {
        "format": _FORMAT,
        "policy": policy.name,
        "action_space": ACTION_SPACE,
        policy.name: to_mapping(policy.config),
    }
    weights = {name: value.contiguous() for name, value in policy.state_dict().items()}
    files = {
        CONFIG_FILE: yaml.safe_dump(config, sort_keys=False).encode(),
        PROVENANCE_FILE: (json.dumps(provenance, indent=2) + "\n").encode(),
        WEIGHTS_FILE: save(weights),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = directory / f"{name}.partial"
            try:
                partial.write_bytes(content)
                partial.replace(directory / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot write the checkpoint {directory}: {error}") from error


def find_checkpoint(name_or_path: str) -> Path:
    """Return the directory of a checkpoint given by path, or of a shipped one by name.

    Raises:
        CheckpointError: there is none; the message names the nearest shipped one.
    """
    for candidate in (Path(name_or_path), SHIPPED_DIRECTORY / name_or_path):
        if (candidate / WEIGHTS_FILE).is_file():
            return candidate
    shipped = [path.parent.name for path in SHIPPED_DIRECTORY.glob(f"*/{WEIGHTS_FILE}")]
    if Path(name_or_path).is_dir():
        raise CheckpointError(f"{name_or_path} is not a checkpoint: it holds no {WEIGHTS_FILE}")
    hint = suggest(name_or_path, shipped) if shipped else " None is shipped; train one with `glue train`."
    raise CheckpointError(f"there is no checkpoint {name_or_path!r}.{hint}")


def load_policy(directory: Path, device: str = "cpu", name: str | None = None) -> Policy:
    """Return the policy of a checkpoint, in evaluation mode.

    Args:
        directory: See `find_checkpoint`.
        device: Where the network goes.
        name: The policy that it has to be, e.g. `glue`; None for whichever it is.

    Raises:
        CheckpointError: files missing or damaged, another policy, action space or format, wrong shapes, or NaN in
            the weights.
    """
    found, config = _load_config(directory)
    if name is not None and found != name:
        raise CheckpointError(f"{directory} holds policy {found!r}, not {name!r}")
    try:
        weights = load_file(directory / WEIGHTS_FILE, device=device)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{directory / WEIGHTS_FILE} cannot be read ({error}); copy or train the checkpoint again"
        ) from error
    # Without pretrained weights: all of them come from the checkpoint.
    policy = build_policy(found, config)
    _check_weights(directory, weights, policy.state_dict())
    policy.load_state_dict(weights)
    return policy.to(device).eval()


def _check_weights(directory: Path, weights: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    actions = weights.get("action_range.centre")
    if actions is not None and actions.shape != (ACTION_DIM,):
        raise CheckpointError(
            f"{directory} was trained for another action space: its actions have {actions.numel()} values, ours "
            f"{ACTION_DIM}: {', '.join(ACTION_SPACE)}"
        )
    for name in sorted(expected.keys() | weights.keys()):
        have, want = weights.get(name), expected.get(name)
        if have is None or want is None or have.shape != want.shape:
            found = "nothing" if have is None else str(list(have.shape))
            needed = "nothing" if want is None else str(list(want.shape))
            raise CheckpointError(
                f"{directory} does not fit its configuration: {name} is {found}, needed {needed}"
            )
        if have.is_floating_point() and not bool(torch.isfinite(have).all()):
            raise CheckpointError(
                f"{directory} holds NaN or infinite weights in {name}; it must not drive a robot"
            )


def _load_config(directory: Path) -> tuple[str, PolicyConfig]:
    """Return the policy's name and its configuration."""
    path = directory / CONFIG_FILE
    try:
        data = read_yaml(path)
        if data.get("format") != _FORMAT:
            raise CheckpointError(
                f"{directory} has format {data.get('format')!r}, this version reads {_FORMAT!r}"
            )
        if data.get("action_space", ACTION_SPACE) != ACTION_SPACE:
            raise CheckpointError(
                f"{directory} was trained for another action space: {data['action_space']}, ours is {ACTION_SPACE}"
            )
        name = data.get("policy")
        if not isinstance(name, str) or name not in POLICIES:
            raise CheckpointError(
                f"{directory} holds policy {name!r}, which is unknown here.{suggest(str(name), POLICIES)}"
            )
        if name not in data:
            raise CheckpointError(f"{path} says policy {name!r} but has no section {name!r}; copy it again")
        return name, from_mapping(policy_entry(name).config_class(), data[name], str(path))
    except ConfigError as error:
        raise CheckpointError(f"the checkpoint's configuration is damaged: {error}") from error
