"""What the joint guard asks of a kinematic model, so that the safety code stays free of its library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits


@dataclass(frozen=True, eq=False)
class ArmPoint:
    """The tool at one configuration of the joints, base frame.

    Attributes:
        position_m: Tool centre point.
        rotation: R_base_ee.
        jacobian: From joint speeds [rad/s] to linear [m/s] and angular [rad/s] velocity of the tool.
        drift: Acceleration of the tool [m/s^2, rad/s^2] at the given joint speeds without joint acceleration.
    """

    position_m: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]
    jacobian: Float[np.ndarray, "6 7"]
    drift: Float[np.ndarray, "6"]


class KinematicModel(Protocol):
    """Kinematics of one robot model; `glue_bringup.arm.kinematics.ArmKinematics` is one."""

    limits: RobotLimits

    def flange_pose(self, joint_position_rad: Float[np.ndarray, "7"]) -> Float[np.ndarray, "4 4"]:
        """Return T_base_flange."""
        ...

    def set_tool(self, T_flange_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set where the tool centre point is on the flange."""
        ...

    def at(
        self, joint_position_rad: Float[np.ndarray, "7"], joint_velocity_rad_s: Float[np.ndarray, "7"] | None = None
    ) -> ArmPoint:
        """Return the tool's pose, Jacobian and drift."""
        ...

    def clearance_m(self, joint_position_rad: Float[np.ndarray, "7"]) -> float:
        """Return the smallest distance between links that can meet."""
        ...

    def lowest_m(self, joint_position_rad: Float[np.ndarray, "7"]) -> float:
        """Return the lowest height of forearm, wrist and palm."""
        ...
