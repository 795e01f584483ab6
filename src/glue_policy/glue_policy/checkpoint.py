"""A checkpoint is a directory: weights (safetensors), configuration (YAML), provenance (JSON). Data, never code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from glue_perception.config import from_mapping, read_yaml, suggest, to_mapping
from glue_perception.errors import CheckpointError, ConfigError
from glue_policy.policies.glue.configuration_glue import GlueConfig
from glue_policy.policies.glue.modeling_glue import GluePolicy

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.yaml"
PROVENANCE_FILE = "provenance.json"
SHIPPED_DIRECTORY = Path(__file__).parent / "checkpoints"

_FORMAT = "glue_checkpoint_1"


def save_policy(directory: Path, policy: GluePolicy, provenance: dict[str, Any]) -> None:
    """Write a checkpoint; what was there is replaced file by file, each only when it is complete.

    Raises:
        CheckpointError: the directory cannot be written.
    """
    config = {"format": _FORMAT, "policy": "glue", "glue": to_mapping(policy.config)}
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
            partial.write_bytes(content)
            partial.replace(directory / name)
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


def load_policy(directory: Path, device: str = "cpu") -> GluePolicy:
    """Return the policy of a checkpoint, in evaluation mode.

    Raises:
        CheckpointError: files missing or damaged, another policy or format, wrong shapes, or NaN in the weights.
    """
    config = _load_config(directory)
    try:
        weights = load_file(directory / WEIGHTS_FILE, device=device)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{directory / WEIGHTS_FILE} cannot be read ({error}); copy or train the checkpoint again"
        ) from error
    # Without pretrained weights: all of them come from the checkpoint.
    policy = GluePolicy(config)
    expected = policy.state_dict()
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
    policy.load_state_dict(weights)
    return policy.to(device).eval()


def _load_config(directory: Path) -> GlueConfig:
    try:
        data = read_yaml(directory / CONFIG_FILE)
        if data.get("format") != _FORMAT:
            raise CheckpointError(
                f"{directory} has format {data.get('format')!r}, this version reads {_FORMAT!r}"
            )
        if data.get("policy") != "glue":
            raise CheckpointError(f"{directory} holds policy {data.get('policy')!r}, not 'glue'")
        return from_mapping(GlueConfig, data.get("glue", {}), str(directory / CONFIG_FILE))
    except ConfigError as error:
        raise CheckpointError(f"the checkpoint's configuration is damaged: {error}") from error
