"""Linear maps between physical units and -1..1, with statistics that are saved with the weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST_HALF_RANGE = {
    "position_m": 0.05,
    "rotation_6d": 0.1,
    "gripper_width_m": 0.02,
    "joint_position_rad": 0.2,
}
"""A dimension that hardly varies in the demonstrations is not blown up to the full range: the network would spend
itself on its noise."""

ACTION_FLOORS = (
    [SMALLEST_HALF_RANGE["position_m"]] * 3
    + [SMALLEST_HALF_RANGE["rotation_6d"]] * 6
    + [SMALLEST_HALF_RANGE["gripper_width_m"]]
)


class RangeNormaliser(nn.Module):
    """Maps the demonstrations' range of each dimension to -1..1.

    Args:
        smallest_half_range: Per dimension, in its unit; its length is the number of dimensions.
    """

    centre: Tensor
    half_range: Tensor

    def __init__(self, smallest_half_range: list[float]) -> None:
        super().__init__()
        self._floor = torch.tensor(smallest_half_range)
        self.register_buffer("centre", torch.zeros(len(smallest_half_range)))
        self.register_buffer("half_range", self._floor.clone())

    def fit(self, values: Float[Tensor, "t d"]) -> None:
        """Take the range from data, all of which must be finite."""
        low, high = values.amin(dim=0), values.amax(dim=0)
        self.centre.copy_((low + high) / 2)
        self.half_range.copy_(torch.maximum((high - low) / 2, self._floor))

    def normalise(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Return physical values in the range's units."""
        return (values - self.centre) / self.half_range

    def restore(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Return physical values."""
        return values * self.half_range + self.centre


def action_normaliser() -> RangeNormaliser:
    """Return the normaliser of actions (10)."""
    return RangeNormaliser(ACTION_FLOORS)


def joint_normaliser() -> RangeNormaliser:
    """Return the normaliser of joint positions (7)."""
    return RangeNormaliser([SMALLEST_HALF_RANGE["joint_position_rad"]] * 7)
