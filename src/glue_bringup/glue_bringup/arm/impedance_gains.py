"""Gains of the Cartesian impedance controller, the same on the robot and in the twin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glue_perception.errors import ConfigError

PANDA_HOME_RAD = (0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4)


@dataclass(frozen=True)
class ImpedanceGains:
    """Stiffness of tool and elbow. Damping is critical, 2 sqrt(stiffness), as in franky's tracker.

    The defaults track within a few millimetres against the joint friction of a Franka (about 1 Nm) and yield
    to a hand.

    Attributes:
        translational_stiffness_n_m: N/m, all directions.
        rotational_stiffness_nm: Nm per unit of the error quaternion's vector part, that is per 2 rad for
            small angles.
        translational_error_clip_m: Limits the pull of a far target, each axis.
        rotational_error_clip: The same for the vector part of the error quaternion.
        posture_stiffness_nm_rad: Pull towards `posture_rad` in the null space of the tool's pose, which keeps the
            elbow from drifting.
        posture_rad: Joint angles that the elbow is drawn to; home.
        max_torque_step_nm: Change of a joint's torque in one millisecond; the robot's own limit is 1 Nm.

    Raises:
        ConfigError: a value that is not positive, or a torque step beyond the robot's limit.
    """

    translational_stiffness_n_m: float = 1000.0
    rotational_stiffness_nm: float = 80.0
    translational_error_clip_m: float = 0.05
    rotational_error_clip: float = 0.2
    posture_stiffness_nm_rad: float = 10.0
    posture_rad: tuple[float, float, float, float, float, float, float] = PANDA_HOME_RAD
    max_torque_step_nm: float = 1.0

    def __post_init__(self) -> None:
        for name in (
            "translational_stiffness_n_m",
            "rotational_stiffness_nm",
            "translational_error_clip_m",
            "rotational_error_clip",
            "max_torque_step_nm",
        ):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"impedance gain {name} must be positive, not {getattr(self, name)}")
        if self.posture_stiffness_nm_rad < 0.0:
            raise ConfigError(
                f"impedance gain posture_stiffness_nm_rad must not be negative, not {self.posture_stiffness_nm_rad}"
            )
        if self.max_torque_step_nm > 1.0:
            raise ConfigError(
                f"impedance gain max_torque_step_nm is {self.max_torque_step_nm}; the robot refuses more than 1 Nm"
            )
