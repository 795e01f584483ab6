"""The contract of every policy: batches in training, one observation in and one chunk out at run time.

```
            n_obs_steps = 1        horizon = 16
observation      o
actions          a a a a a a a a a a a a a a a a      action k is the target in force at stamp + k * dt
executed         |-- until the next chunk replaces it; late ones are dropped by their stamp --|
```
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from glue_perception.errors import ConfigError, InvalidValueError
from glue_policy.policies.configuration import PolicyConfig
from glue_policy.policies.normalisation import action_normaliser, joint_normaliser

ACTION_DIM = 10
"""position_m (3), rotation_6d (6), gripper_width_m (1): absolute, base frame."""

JOINTS = 7

Batch = dict[str, Tensor]
"""Observations: `image` uint8 [b 3 s s] (the whole camera image resized to the policy's square; float32 in 0..255
after augmentation), `row_col` int64 [b n 2], `xy` float32 [b n 2] (keypoints in 0..1 of width and height), `visible`
bool [b n], `joint_position` float32 [b 7] (rad), `points` float32 [b p 3] (m, base frame).
Training adds `action` float32 [b horizon 10] and `action_valid` bool [b horizon] (false: padding after the episode's
end). Which of the observation's keys a policy reads, its `needs` says."""

KEY_PATCH_KEYS = frozenset({"row_col", "xy", "visible"})
"""The keys that describe key-patches; all three or none are in a policy's `needs`."""

LOCAL_FEATURES = "local_features"
"""A key that training may add: float32 [b n c], what a frozen local encoder gives at the key-patches' cells."""

TRAINING_KEYS = frozenset({"action", "action_valid"})


class Policy(nn.Module, ABC):
    """A network that predicts action chunks. Normalisation is inside: batches and results are in physical units.

    No method changes its batch, and everything random comes from the generator given, so that equal arguments give
    equal results. A sub-class implements `_encode`, `_loss` and `sample`.

    Args:
        config: Architecture.
        weights: Directory of the pretrained weights of its encoder; None for random ones.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    """Observation keys that it reads; it sees no others but those of `welcomes`."""

    welcomes: ClassVar[frozenset[str]] = frozenset()
    """Keys that it reads where they are given, and does without where they are not."""

    def __init__(self, config: PolicyConfig, weights: Path | None = None) -> None:
        super().__init__()
        self.config = config
        self.action_range = action_normaliser()
        self.joint_range = joint_normaliser()

    @staticmethod
    def pretrained_directory(config: PolicyConfig) -> Path | None:
        """Return where the store keeps the pretrained weights of this configuration's encoder, None for none.

        Raises:
            WeightsError: they should be there, but are missing or damaged.
        """
        return None

    @property
    def image_size_px(self) -> int:
        """Side of the square image that it takes."""
        return self.config.image_size_px

    @property
    @abstractmethod
    def condition_dim(self) -> int:
        """Width of what `encode` returns."""

    def fit_ranges(self, action: Float[Tensor, "t 10"], joint_position: Float[Tensor, "t 7"]) -> None:
        """Take the normalisation from the demonstrations."""
        self.action_range.fit(action)
        self.joint_range.fit(joint_position)

    def loss(self, batch: Batch, generator: torch.Generator | None = None) -> Float[Tensor, ""]:
        """Return the training loss of a batch; what stands in actions after the last valid one has no part in it.

        Raises:
            InvalidValueError: the batch lacks a key.
        """
        picked = self._pick(batch, self.needs | TRAINING_KEYS)
        picked["action"] = hold_last_valid(picked["action"], picked["action_valid"])
        return self._loss(picked, generator)

    def encode(self, observation: Batch) -> Float[Tensor, "b w"]:
        """Return everything that depends on the observation, one vector each.

        Raises:
            InvalidValueError: the observation lacks a key.
        """
        return self._encode(self._pick(observation, self.needs))

    @abstractmethod
    def sample(
        self,
        condition: Float[Tensor, "b w"],
        noise: Float[Tensor, "b horizon 10"],
        num_inference_steps: int | None = None,
    ) -> Float[Tensor, "b horizon 10"]:
        """Return action chunks in physical units.

        Args:
            condition: From `encode`.
            noise: From `draw_noise`; a policy without randomness at run time ignores it.
            num_inference_steps: See `inference_steps`.
        """

    def inference_steps(self, requested: int | None) -> int:
        """Return how many passes of the network `sample` takes; None asks for the policy's own number.

        A policy that needs one pass takes one, whatever is asked for.

        Raises:
            ConfigError: an impossible number.
        """
        if requested is not None and requested < 1:
            raise ConfigError(f"num_inference_steps must be at least 1, not {requested}")
        return 1

    def draw_noise(self, count: int, generator: torch.Generator) -> Float[Tensor, "b horizon 10"]:
        """Return the noise that sampling starts from."""
        return torch.randn(count, self.config.horizon, ACTION_DIM, generator=generator)

    @torch.no_grad()
    def predict(self, observation: Batch, generator: torch.Generator) -> Float[Tensor, "b horizon 10"]:
        """Return action chunks in physical units, sampled with `generator`.

        Raises:
            InvalidValueError: the observation lacks a key.
        """
        condition = self.encode(observation)
        noise = self.draw_noise(len(condition), generator).to(condition.device)
        return self.sample(condition, noise)

    def example_observation(self, num_key_patches: int) -> Batch:
        """Return one observation of zeros with the keys, shapes and types that this policy reads."""
        size = self.image_size_px
        every = {
            "image": torch.zeros(1, 3, size, size, dtype=torch.uint8),
            "row_col": torch.zeros(1, num_key_patches, 2, dtype=torch.int64),
            "xy": torch.zeros(1, num_key_patches, 2),
            "visible": torch.ones(1, num_key_patches, dtype=torch.bool),
            "joint_position": torch.zeros(1, JOINTS),
        }
        return {key: value for key, value in every.items() if key in self.needs}

    @abstractmethod
    def _loss(self, batch: Batch, generator: torch.Generator | None) -> Float[Tensor, ""]:
        """Return the loss of a batch that holds what is needed and nothing else."""

    @abstractmethod
    def _encode(self, observation: Batch) -> Float[Tensor, "b w"]:
        """Return the condition of an observation that holds what is needed and nothing else."""

    def _pick(self, batch: Batch, keys: Iterable[str]) -> Batch:
        missing = sorted(set(keys) - batch.keys())
        if missing:
            raise InvalidValueError(
                f"policy {self.name} needs {', '.join(missing)}, which the batch lacks; it holds "
                f"{', '.join(sorted(batch)) or 'nothing'}"
            )
        return {key: batch[key] for key in sorted(set(keys) | (self.welcomes & batch.keys()))}


def hold_last_valid(
    action: Float[Tensor, "b horizon a"], valid: Bool[Tensor, "b horizon"]
) -> Float[Tensor, "b horizon a"]:
    """Return the actions with everything after a row's last valid one replaced by that one.

    Convolutions and attention look at their neighbours, so padding must be something known and harmless.
    """
    steps = torch.arange(valid.shape[1], device=valid.device)
    last = (steps * valid).amax(dim=1, keepdim=True)
    index = torch.minimum(steps, last)
    return action.gather(1, index.unsqueeze(-1).expand(-1, -1, action.shape[-1]))
