"""The network that a run starts with: new, or that of a checkpoint to be trained on."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from glue_perception.errors import ConfigError
from glue_policy.checkpoint import WEIGHTS_FILE, find_checkpoint, load_policy
from glue_policy.data.dataset import ChunkDataset
from glue_policy.policies import build_policy, policy_config, policy_entry
from glue_policy.policies.base import Policy
from glue_policy.policies.normalisation import RangeNormaliser
from glue_policy.training.config import TrainConfig


def starting_policy(config: TrainConfig) -> Policy:
    """Return the policy that a new run starts with, on the CPU.

    Raises:
        ConfigError: unknown policy or preset, or the checkpoint is of another policy.
        CheckpointError: the checkpoint is missing or damaged.
        WeightsError: pretrained weights should be there, but are missing or damaged.
    """
    policy_entry(config.policy)
    if config.init_from:
        policy = load_policy(find_checkpoint(config.init_from))
        if policy.name != config.policy:
            raise ConfigError(
                f"{config.init_from} holds policy {policy.name!r}, not {config.policy!r}; give --policy {policy.name}"
            )
        return policy
    architecture = policy_config(config.policy, config.preset)
    weights = policy_entry(config.policy).policy_class().pretrained_directory(architecture)
    torch.manual_seed(config.seed)
    return build_policy(config.policy, architecture, weights)


def start_digest(config: TrainConfig) -> str:
    """Return the SHA-256 of the checkpoint that a run starts with; empty for a new network."""
    if not config.init_from:
        return ""
    return hashlib.sha256((find_checkpoint(config.init_from) / WEIGHTS_FILE).read_bytes()).hexdigest()


def fit_ranges(policy: Policy, dataset: ChunkDataset, config: TrainConfig) -> None:
    """Set the policy's normalisation from the training set.

    A checkpoint's weights mean its own ranges, so `init_from` keeps those, widened where the new demonstrations go
    beyond them.
    """
    action, joints = dataset.actions, dataset.joint_positions
    if config.init_from:
        action, joints = _with_range(policy.action_range, action), _with_range(policy.joint_range, joints)
        if _inside(policy.action_range, action) and _inside(policy.joint_range, joints):
            return
    policy.fit_ranges(action, joints)


def _with_range(normaliser: RangeNormaliser, values: Tensor) -> Tensor:
    corners = normaliser.restore(torch.tensor([[-1.0], [1.0]]).expand(2, values.shape[1]))
    return torch.cat([values, corners])


def _inside(normaliser: RangeNormaliser, values: Tensor) -> bool:
    return bool((normaliser.normalise(values).abs() <= 1.0 + 1e-4).all())
