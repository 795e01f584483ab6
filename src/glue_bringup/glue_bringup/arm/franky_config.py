"""Settings of the arm driver: where the arm is, what it carries, how it reacts to contact."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from glue_bringup.arm.limits import RobotModel
from glue_perception.errors import ConfigError

MAX_PAYLOAD_KG = {RobotModel.PANDA: 3.0, RobotModel.FR3: 3.0}
"""Source: Franka's data sheets; the hand (0.73 kg), set in Desk, counts towards it."""


class Realtime(Enum):
    """Whether the control thread must have real-time priority. AUTO: unless the robot is on this computer."""

    AUTO = "auto"
    ENFORCE = "enforce"
    IGNORE = "ignore"


@dataclass(frozen=True)
class Payload:
    """What the hand holds all the time, so that gravity compensation knows. The hand itself is set in Desk.

    Attributes:
        mass_kg: 0 for nothing.
        center_of_mass_m: In the flange's frame.
        inertia_kg_m2: About the centre of mass, column by column.

    Raises:
        ConfigError: a negative or excessive mass, an inertia that is not symmetric, or one without a mass.
    """

    mass_kg: float = 0.0
    center_of_mass_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    inertia_kg_m2: tuple[float, float, float, float, float, float, float, float, float] = (0.0,) * 9

    def __post_init__(self) -> None:
        if not 0.0 <= self.mass_kg <= max(MAX_PAYLOAD_KG.values()):
            raise ConfigError(f"payload mass_kg must lie in 0..3, not {self.mass_kg}")
        if max(abs(v) for v in self.center_of_mass_m) > 0.5:
            raise ConfigError(f"payload center_of_mass_m is {self.center_of_mass_m}; metres from the flange")
        inertia = self.inertia_kg_m2
        if any(inertia[3 * i + j] != inertia[3 * j + i] for i in range(3) for j in range(3)):
            raise ConfigError("payload inertia_kg_m2 must be symmetric")
        if min(inertia[0], inertia[4], inertia[8]) < 0.0:
            raise ConfigError("payload inertia_kg_m2 must not be negative on its diagonal")
        if self.mass_kg == 0.0 and any((*inertia, *self.center_of_mass_m)):
            raise ConfigError("payload has an inertia or a centre of mass but no mass_kg")


@dataclass(frozen=True)
class FrankyArmConfig:
    """Where the arm is and how it reacts to contact.

    Attributes:
        robot_ip: Address of the robot, or of the protocol-level twin.
        robot_model: Which robot it is; the twin is an FR3.
        realtime: See `Realtime`.
        connect_timeout_s: A robot that has not answered by then is given up.
        silence_timeout_s: A robot that has sent no new state for this long counts as lost.
        target_timeout_s: Once targets come, an arm that gets none for this long is brought to rest: franky's tracker
            would pull towards the last one for ever. None: no time-out.
        collision_torque_nm: External joint torque at which the robot stops by reflex.
        collision_force_n: External force at the tool at which it stops by reflex. Well above what pressing a
            button needs, and below what hurts.
        payload: What the hand holds all the time.

    Raises:
        ConfigError: an empty address, or a value that is not positive.
    """

    robot_ip: str
    robot_model: RobotModel
    realtime: Realtime = Realtime.AUTO
    connect_timeout_s: float = 3.0
    silence_timeout_s: float = 0.5
    target_timeout_s: float | None = 1.0
    collision_torque_nm: float = 40.0
    collision_force_n: float = 60.0
    payload: Payload = field(default_factory=Payload)

    def __post_init__(self) -> None:
        if not self.robot_ip.strip():
            raise ConfigError("robot_ip is empty; give the robot's address, e.g. 172.16.0.2")
        for name in ("connect_timeout_s", "silence_timeout_s", "collision_torque_nm", "collision_force_n"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"arm {name} must be positive, not {getattr(self, name)}")
        if self.target_timeout_s is not None and not 0.1 <= self.target_timeout_s <= 10.0:
            raise ConfigError(f"arm target_timeout_s must lie in 0.1..10, not {self.target_timeout_s}")
