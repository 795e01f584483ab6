"""Whether a commanded motion kept every limit of the robot's own table, by finite differences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits
from glue_bringup.safety.config import SafetyConfig
from glue_perception.geometry import rotation_vector

SLACK = 1e-4
"""Relative; rounding of third differences."""

BOX_SLACK_M = 1e-5
MARGIN_SHARE = 0.95
"""Of the joints' margin: between two checked points of a ramp a joint may go a little further."""


def violations(
    poses: Sequence[Float[np.ndarray, "4 4"]],
    joints_rad: Sequence[Float[np.ndarray, "7"]],
    dt_s: float,
    limits: RobotLimits,
    config: SafetyConfig,
) -> list[str]:
    """Return each limit that a commanded motion broke, with what was seen; empty if none.

    Velocity, acceleration and jerk are mean values over one, two and three ticks, which no true value's bound may be
    exceeded by. Besides the robot's table the configured, lower bounds of the tool's motion are asked for, the box,
    and the margin of the joints' ranges.

    Args:
        poses: T_base_ee at every tick.
        joints_rad: The joint path beneath it; may be empty.
        dt_s: Time between ticks.
        limits: The robot's own table.
        config: The settings that were in force.
    """
    stacked = np.array(poses)
    if not np.isfinite(stacked).all():
        return ["a commanded pose is not finite"]
    found = []
    motion = config.motion
    omega = np.array(
        [rotation_vector(b[:3, :3] @ a[:3, :3].T) / dt_s for a, b in itertools.pairwise(stacked)]
    )
    linear = (
        motion.translation_velocity_m_s,
        motion.translation_acceleration_m_s2,
        motion.translation_jerk_m_s3,
    )
    angular = (
        motion.rotation_velocity_rad_s,
        motion.rotation_acceleration_rad_s2,
        motion.rotation_jerk_rad_s3,
    )
    velocity = np.diff(stacked[:, :3, 3], axis=0) / dt_s
    for kind, rates, bounds in (("translation", velocity, linear), ("rotation", omega, angular)):
        for order, (name, bound) in enumerate(zip(("velocity", "acceleration", "jerk"), bounds, strict=True)):
            largest = float(
                np.linalg.norm(np.diff(rates, order, axis=0) / dt_s**order, axis=1).max(initial=0.0)
            )
            if largest > bound * (1 + SLACK):
                found.append(f"{kind} {name} {largest:.4g} > {bound:g}")
    low, high = np.array(config.workspace.min_m), np.array(config.workspace.max_m)
    if np.any(stacked[:, :3, 3] < low - BOX_SLACK_M) or np.any(stacked[:, :3, 3] > high + BOX_SLACK_M):
        found.append("the workspace box was left")
    return found + (_joint_violations(np.array(joints_rad), dt_s, limits, config) if len(joints_rad) else [])


def _joint_violations(
    joints_rad: Float[np.ndarray, "n 7"], dt_s: float, limits: RobotLimits, config: SafetyConfig
) -> list[str]:
    found = []
    margin = MARGIN_SHARE * config.joints.position_margin_rad
    low, high = np.array(limits.joint_position_min_rad), np.array(limits.joint_position_max_rad)
    room = np.minimum(joints_rad - low, high - joints_rad).min(axis=0)
    if room.min() < margin:
        found.append(f"joint {int(room.argmin()) + 1} came within {room.min():.4f} rad of its end")
    tables = (
        limits.joint_velocity_rad_s,
        limits.joint_acceleration_rad_s2,
        limits.joint_jerk_rad_s3,
    )
    rates = joints_rad
    for name, table in zip(("velocity", "acceleration", "jerk"), tables, strict=True):
        rates = np.diff(rates, axis=0) / dt_s
        share = np.abs(rates).max(axis=0, initial=0.0) / np.array(table)
        if share.max() > 1 + SLACK:
            found.append(f"{name} of joint {int(share.argmax()) + 1} is {share.max():.3f} of the table's")
    return found
