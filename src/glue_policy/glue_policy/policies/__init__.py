"""Policies, one folder each, behind one contract; chosen by name, and imported when one is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glue_perception.config import suggest
from glue_perception.errors import ConfigError

if TYPE_CHECKING:
    from glue_policy.policies.base import Policy
    from glue_policy.policies.configuration import PolicyConfig


@dataclass(frozen=True)
class PolicyEntry:
    """Where a policy lives.

    Attributes:
        folder: Below this package; holds `configuration_FOLDER.py` and `modeling_FOLDER.py`.
        stem: What its classes' names begin with.
        summary: One line for `--help`.
    """

    folder: str
    stem: str
    summary: str

    def config_class(self) -> type[PolicyConfig]:
        """Return the class of its configuration."""
        module = importlib.import_module(f"{__name__}.{self.folder}.configuration_{self.folder}")
        found: type[PolicyConfig] = getattr(module, f"{self.stem}Config")
        return found

    def policy_class(self) -> type[Policy]:
        """Return the class of the network."""
        module = importlib.import_module(f"{__name__}.{self.folder}.modeling_{self.folder}")
        found: type[Policy] = getattr(module, f"{self.stem}Policy")
        return found


POLICIES = {
    "glue": PolicyEntry("glue", "Glue", "GLUE: global tokens distil the tracked key-patches"),
    "glue_s": PolicyEntry("glue_s", "GlueS", "GLUE-S: GLUE without key-patches"),
    "dp": PolicyEntry("dp", "Dp", "Diffusion Policy"),
    "act": PolicyEntry("act", "Act", "Action Chunking with Transformers"),
    "dp3": PolicyEntry("dp3", "Dp3", "3D Diffusion Policy: points instead of an image"),
}
"""Every policy by the name that a checkpoint, a YAML file or the command line gives it."""


def policy_entry(name: str) -> PolicyEntry:
    """Return the entry of a policy.

    Raises:
        ConfigError: unknown name.
    """
    if name not in POLICIES:
        raise ConfigError(f"unknown policy {name!r}.{suggest(name, POLICIES)}")
    return POLICIES[name]


def policy_config(name: str, preset: str) -> PolicyConfig:
    """Return a preset (`tiny` or `paper`) of a policy.

    Raises:
        ConfigError: unknown policy or preset.
    """
    return policy_entry(name).config_class().preset(preset)


def build_policy(name: str, config: PolicyConfig, weights: Path | None = None) -> Policy:
    """Return a new policy.

    Args:
        name: Of the policy.
        config: Of this policy's own class.
        weights: Directory of its encoder's pretrained weights, see `Policy.pretrained_directory`; None for random
            ones.

    Raises:
        ConfigError: unknown policy, or the configuration of another one.
        CheckpointError: `weights` cannot be loaded.
    """
    entry = policy_entry(name)
    if not isinstance(config, entry.config_class()):
        raise ConfigError(
            f"policy {name!r} takes a {entry.config_class().__name__}, not a {type(config).__name__}"
        )
    return entry.policy_class()(config, weights)
