"""What the joint guard asks of a kinematic model, so that the safety code stays free of its library."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits


class KinematicModel(Protocol):
    """Kinematics of one robot model; `glue_bringup.arm.kinematics.ArmKinematics` is one.

    Attributes:
        limits: The robot's table. It travels with the model, so that two robots cannot be mixed.
        reach_m: For each joint, no point of a link that it turns moves farther than this per radian.
    """

    limits: RobotLimits
    reach_m: Float[np.ndarray, "7"]

    def flange_pose(self, joint_position_rad: Float[np.ndarray, "7"]) -> Float[np.ndarray, "4 4"]:
        """Return T_base_flange."""
        ...

    def set_tool(self, T_flange_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set where the tool centre point is on the flange."""
        ...

    def tool_pose(
        self, joint_position_rad: Float[np.ndarray, "7"]
    ) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
        """Return R_base_ee and the position [m] of the tool centre point."""
        ...

    def jacobian(self, joint_position_rad: Float[np.ndarray, "7"]) -> Float[np.ndarray, "6 7"]:
        """Return the map from joint speeds [rad/s] to the tool's linear [m/s] and angular [rad/s] velocity."""
        ...

    def drift(
        self, joint_position_rad: Float[np.ndarray, "7"], joint_velocity_rad_s: Float[np.ndarray, "7"]
    ) -> Float[np.ndarray, "6"]:
        """Return the tool's acceleration [m/s^2, rad/s^2] that the joints' speeds alone cause."""
        ...

    def along(
        self, joint_position_rad: Float[np.ndarray, "n 7"]
    ) -> tuple[Float[np.ndarray, "n 6 7"], Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
        """Return Jacobians, R_base_ee and tool positions [m] at many joint positions."""
        ...

    def clearance_m(self, joint_position_rad: Float[np.ndarray, "7"]) -> float:
        """Return the smallest distance between links that can meet; negative where they overlap."""
        ...

    def lowest_m(self, joint_position_rad: Float[np.ndarray, "7"]) -> float:
        """Return the lowest height of forearm, wrist and palm above the base's plane."""
        ...
