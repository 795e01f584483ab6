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

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

ACTION_DIM = 10
"""position_m (3), rotation_6d (6), gripper_width_m (1): absolute, base frame."""

Batch = dict[str, Tensor]
"""`image` uint8 [b 3 s s] (the whole camera image resized to the policy's square), `row_col` int64 [b n 2],
`xy` float32 [b n 2] (keypoints in 0..1 of width and height), `visible` bool [b n], `joint_position` float32 [b 7]
(rad), `action` float32 [b horizon 10], `action_valid` bool [b horizon] (false: padding after the episode's end)."""


class Policy(nn.Module, ABC):
    """A network that predicts action chunks. Normalisation is inside: batches and results are in physical units."""

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator | None = None) -> Float[Tensor, ""]:
        """Return the training loss of a batch, which it must not change."""

    @abstractmethod
    def predict(
        self,
        image: UInt8[Tensor, "b 3 s s"],
        row_col: Int[Tensor, "b n 2"],
        xy: Float[Tensor, "b n 2"],
        visible: Bool[Tensor, "b n"],
        joint_position: Float[Tensor, "b 7"],
        generator: torch.Generator,
    ) -> Float[Tensor, "b horizon 10"]:
        """Return action chunks in physical units, sampled with `generator`."""
