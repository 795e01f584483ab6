"""What each robot model may do: the maker's limits, one table per model, never mixed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
from jaxtyping import Float

SevenJoints = tuple[float, float, float, float, float, float, float]
"""One value per joint, 1 to 7."""


class RobotModel(Enum):
    """The robots that can be driven. A Panda is also called Franka Emika Robot (FER)."""

    PANDA = "panda"
    FR3 = "fr3"


@dataclass(frozen=True)
class VelocityTaper:
    """How a robot lowers its joints' top speeds towards the ends of their ranges, so that they can still brake.

    Towards an end that is `d` rad away the speed is at most `sqrt(gain * d) - offset`.

    Attributes:
        offset_rad_s: See above.
        gain_rad_s2: See above.
        min_rad: Lower ends that are counted from; not exactly those of the ranges.
        max_rad: Upper ends.
    """

    offset_rad_s: SevenJoints
    gain_rad_s2: SevenJoints
    min_rad: SevenJoints
    max_rad: SevenJoints


@dataclass(frozen=True)
class RobotLimits:
    """Limits beyond which the robot itself aborts a motion.

    Attributes:
        model: Which robot.
        joint_position_min_rad: Lower ends of the joints' ranges.
        joint_position_max_rad: Upper ends.
        joint_velocity_rad_s: Largest speeds, see `joint_velocity_taper`.
        joint_acceleration_rad_s2: Largest accelerations.
        joint_jerk_rad_s3: Largest jerks.
        joint_torque_nm: Largest torques.
        joint_torque_rate_nm_s: Largest change of a joint's torque.
        translation_velocity_m_s: Largest speed of the tool centre point.
        translation_acceleration_m_s2: Its largest acceleration.
        translation_jerk_m_s3: Its largest jerk.
        rotation_velocity_rad_s: Largest angular speed of the tool.
        rotation_acceleration_rad_s2: Its largest angular acceleration.
        rotation_jerk_rad_s3: Its largest angular jerk.
        joint_velocity_taper: How the speeds are lowered near the ends of the ranges; None: they are not.
    """

    model: RobotModel
    joint_position_min_rad: SevenJoints
    joint_position_max_rad: SevenJoints
    joint_velocity_rad_s: SevenJoints
    joint_acceleration_rad_s2: SevenJoints
    joint_jerk_rad_s3: SevenJoints
    joint_torque_nm: SevenJoints
    joint_torque_rate_nm_s: float
    translation_velocity_m_s: float
    translation_acceleration_m_s2: float
    translation_jerk_m_s3: float
    rotation_velocity_rad_s: float
    rotation_acceleration_rad_s2: float
    rotation_jerk_rad_s3: float
    joint_velocity_taper: VelocityTaper | None = None


PANDA = RobotLimits(
    model=RobotModel.PANDA,
    joint_position_min_rad=(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
    joint_position_max_rad=(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    joint_velocity_rad_s=(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    joint_acceleration_rad_s2=(15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
    joint_jerk_rad_s3=(7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0),
    joint_torque_nm=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    joint_torque_rate_nm_s=1000.0,
    translation_velocity_m_s=1.7,
    translation_acceleration_m_s2=13.0,
    translation_jerk_m_s3=6500.0,
    rotation_velocity_rad_s=2.5,
    rotation_acceleration_rad_s2=25.0,
    rotation_jerk_rad_s3=12500.0,
)
"""Franka Emika Panda. Source: Franka Control Interface documentation, "Robot and interface specifications",
section "Limits for Panda" (later "Limits for Franka Emika Robot (FER)")."""

FR3 = RobotLimits(
    model=RobotModel.FR3,
    joint_position_min_rad=(-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
    joint_position_max_rad=(2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
    joint_velocity_rad_s=(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
    joint_acceleration_rad_s2=(10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0),
    joint_jerk_rad_s3=(5000.0, 5000.0, 5000.0, 5000.0, 5000.0, 5000.0, 5000.0),
    joint_torque_nm=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    joint_torque_rate_nm_s=1000.0,
    translation_velocity_m_s=3.0,
    translation_acceleration_m_s2=9.0,
    translation_jerk_m_s3=4500.0,
    rotation_velocity_rad_s=2.5,
    rotation_acceleration_rad_s2=17.0,
    rotation_jerk_rad_s3=8500.0,
    joint_velocity_taper=VelocityTaper(
        offset_rad_s=(0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35),
        gain_rad_s2=(12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0),
        min_rad=(-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196),
        max_rad=(2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196),
    ),
)
"""Franka Research 3. Source: Franka Control Interface documentation, "Robot and interface specifications", section
"Limits for Franka Research 3 (FR3)" (https://frankarobotics.github.io/docs/robot_specifications.html; the tables
`control-parameters-joint-fr3.csv` and Cartesian-space limits). Of the two published editions of the joint ranges the
narrower, earlier one is kept. The taper of the speeds is on the same page and in libfranka's rate limiter."""

_TABLES = {limits.model: limits for limits in (PANDA, FR3)}


def limits_for(model: RobotModel) -> RobotLimits:
    """Return the table of one robot model."""
    return _TABLES[model]


def joint_velocity_bounds(
    limits: RobotLimits, joint_position_rad: Float[np.ndarray, "*n 7"]
) -> tuple[Float[np.ndarray, "*n 7"], Float[np.ndarray, "*n 7"]]:
    """Return the lowest (negative) and highest joint velocity [rad/s] that a robot allows at given positions."""
    top = _array(limits.joint_velocity_rad_s)
    taper = limits.joint_velocity_taper
    if taper is None:
        highest = np.broadcast_to(top, joint_position_rad.shape)
        return -highest, highest
    gain, offset = _array(taper.gain_rad_s2), _array(taper.offset_rad_s)
    below = np.maximum(joint_position_rad - _array(taper.min_rad), 0.0)
    above = np.maximum(_array(taper.max_rad) - joint_position_rad, 0.0)
    lowest = -np.minimum(np.maximum(np.sqrt(gain * below) - offset, 0.0), top)
    return lowest, np.minimum(np.maximum(np.sqrt(gain * above) - offset, 0.0), top)


@cache
def _array(values: SevenJoints) -> Float[np.ndarray, "7"]:
    array = np.array(values)
    array.setflags(write=False)
    return array
