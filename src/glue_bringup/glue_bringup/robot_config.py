"""The robot of a task's YAML, under `robot`: which model, how it reacts to contact, what it carries, its hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from glue_bringup.arm.franky_config import FrankyArmConfig, Payload, Realtime
from glue_bringup.arm.limits import RobotModel
from glue_bringup.gripper.franky_gripper import FrankyGripperConfig
from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class RobotConfig:
    """The real robot; the twin takes its reactions and its hand from here too, but is an FR3 whatever is said.

    Impedance gains are the task's own section `gains`, as the twin needs them too.

    Attributes:
        model: Checked against the robot that answers.
        robot_ip: Its address; None where the command line gives it.
        realtime: See `Realtime`.
        connect_timeout_s: See `FrankyArmConfig`, as all below.
        silence_timeout_s: The same.
        target_timeout_s: The same.
        collision_torque_nm: The same.
        collision_force_n: The same.
        payload: The same.
        gripper: How the fingers move.

    Raises:
        ConfigError: a value out of range.
    """

    model: RobotModel = RobotModel.PANDA
    robot_ip: str | None = None
    realtime: Realtime = Realtime.AUTO
    connect_timeout_s: float = 3.0
    silence_timeout_s: float = 0.5
    target_timeout_s: float | None = 1.0
    collision_torque_nm: float = 40.0
    collision_force_n: float = 60.0
    payload: Payload = field(default_factory=Payload)
    gripper: FrankyGripperConfig = field(default_factory=FrankyGripperConfig)

    def __post_init__(self) -> None:
        self.arm_config(self.robot_ip or "unset")

    def arm_config(self, robot_ip: str | None = None, model: RobotModel | None = None) -> FrankyArmConfig:
        """Return what the arm driver needs.

        Args:
            robot_ip: Instead of the one in the YAML.
            model: Instead of the one in the YAML; the twin is an FR3.

        Raises:
            ConfigError: no address anywhere.
        """
        address = robot_ip if robot_ip is not None else self.robot_ip
        if address is None:
            raise ConfigError("no robot_ip; give --robot-ip, or robot: {robot_ip: ...} in the task's YAML")
        return FrankyArmConfig(
            robot_ip=address,
            robot_model=model or self.model,
            realtime=self.realtime,
            connect_timeout_s=self.connect_timeout_s,
            silence_timeout_s=self.silence_timeout_s,
            target_timeout_s=self.target_timeout_s,
            collision_torque_nm=self.collision_torque_nm,
            collision_force_n=self.collision_force_n,
            payload=self.payload,
        )
