"""The supervisor that every host builds: limits and kinematics of one and the same robot."""

from __future__ import annotations

from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.supervisor import SafetySupervisor


def guarded_supervisor(config: SafetyConfig, model: RobotModel) -> SafetySupervisor:
    """Return a supervisor whose joint guard is on.

    Args:
        config: The task's settings.
        model: The robot; its table and its kinematics are used together.

    Raises:
        ConfigError: the configured motion is beyond the robot's table.
        MissingDependencyError: Pinocchio is not installed.
    """
    limits = limits_for(model)
    return SafetySupervisor(config, limits, ArmKinematics(limits))
