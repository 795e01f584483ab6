"""Whether a commanded motion kept every limit of the robot's own table, by finite differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits, joint_velocity_bounds
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.motion_limiter import MAX_STEP_S
from glue_perception.geometry import rotation_vector
from glue_perception.timing import NS_PER_S

SLACK = 1e-4
"""Relative; rounding of third differences."""

BOX_SLACK_M = 1e-5
MARGIN_SHARE = 0.95
"""Of the joints' margin: between two checked points of a ramp a joint may go a little further."""

ORDERS = ("velocity", "acceleration", "jerk")


def violations(
    poses: Sequence[Float[np.ndarray, "4 4"]],
    joints_rad: Sequence[Float[np.ndarray, "7"]],
    dt_s: float,
    limits: RobotLimits,
    config: SafetyConfig,
) -> list[str]:
    """Return each limit that a commanded motion broke, with what was seen; empty if none.

    Besides what `largest_shares` measures the box is asked for, and the margin of the joints' ranges.

    Args:
        poses: T_base_ee at every tick.
        joints_rad: The joint path beneath it; may be empty.
        dt_s: Time between ticks.
        limits: The robot's own table.
        config: The settings that were in force.
    """
    if not np.isfinite(np.array(poses)).all():
        return ["a commanded pose is not finite"]
    shares = largest_shares(poses, joints_rad, dt_s, limits, config)
    found = [f"{name} is {share:.3f} of its bound" for name, share in shares.items() if share > 1 + SLACK]
    return found + out_of_place(poses, joints_rad, limits, config)


def out_of_place(
    poses: Sequence[Float[np.ndarray, "4 4"]],
    joints_rad: Sequence[Float[np.ndarray, "7"]],
    limits: RobotLimits,
    config: SafetyConfig,
) -> list[str]:
    """Return where a motion left the workspace box or the margins of the joints' ranges; as `violations`."""
    found = []
    low, high = np.array(config.workspace.min_m), np.array(config.workspace.max_m)
    position_m = np.array(poses)[:, :3, 3]
    if np.any(position_m < low - BOX_SLACK_M) or np.any(position_m > high + BOX_SLACK_M):
        found.append("the workspace box was left")
    if len(joints_rad):
        q = np.array(joints_rad)
        ends = np.array(limits.joint_position_min_rad), np.array(limits.joint_position_max_rad)
        room = np.minimum(q - ends[0], ends[1] - q).min(axis=0)
        if room.min() < MARGIN_SHARE * config.joints.position_margin_rad:
            found.append(f"joint {int(room.argmin()) + 1} came within {room.min():.4f} rad of its end")
    return found


def motion_times_ns(stamps_ns: Sequence[int]) -> list[int]:
    """Return by how much motion has gone on at every tick of a clock that may run backwards.

    While it is behind the newest instant seen, and in the tick that passes that, an arm that brakes goes on by ticks
    of the length before.

    Args:
        stamps_ns: What the clock said.
    """
    times_ns, newest_ns, tick_ns, behind = list(stamps_ns[:1]), stamps_ns[0] if stamps_ns else 0, 0, False
    for stamp_ns in stamps_ns[1:]:
        gap_ns = tick_ns if stamp_ns < newest_ns else stamp_ns - newest_ns
        if behind:
            gap_ns = min(gap_ns, tick_ns)
        behind, newest_ns = stamp_ns < newest_ns, max(newest_ns, stamp_ns)
        tick_ns = gap_ns or tick_ns
        times_ns.append(times_ns[-1] + gap_ns)
    return times_ns


def steps(
    poses: Sequence[Float[np.ndarray, "4 4"]],
    stamps_ns: Sequence[int],
    config: SafetyConfig,
    joints_rad: Sequence[Float[np.ndarray, "7"]] = (),
    limits: RobotLimits | None = None,
) -> list[str]:
    """Return where commanded poses that came at uneven times stepped or jerked; empty if nowhere.

    Asked for are the configured velocity, acceleration and jerk of translation, and the table's of the joints. Of a
    pause longer than `MAX_STEP_S` the motion has used that much.

    Args:
        poses: T_base_ee at every tick.
        stamps_ns: Their times.
        config: The settings that were in force.
        joints_rad: The joint path beneath the poses; may be empty.
        limits: The robot's own table; needed with joints.
    """
    motion, gaps_s = config.motion, np.clip(np.diff(np.array(stamps_ns)) / NS_PER_S, 0.0, MAX_STEP_S)
    velocity, change = _derivatives(np.array(poses)[:, :3, 3], gaps_s)
    shares = {
        "translation velocity": _largest(velocity) / motion.translation_velocity_m_s,
        "translation acceleration": _largest(change) / motion.translation_acceleration_m_s2,
        "translation jerk": _largest(_third(change, gaps_s)) / motion.translation_jerk_m_s3,
    }
    if len(joints_rad) and limits is not None:
        path = np.array(joints_rad)
        velocity, change = _derivatives(path, gaps_s)
        taken = np.concatenate([[True], gaps_s > 0.0])
        shares["velocity of a joint"] = _speed_shares(path[taken], velocity, limits).max(initial=0.0)
        shares["acceleration of a joint"] = np.abs(change / limits.joint_acceleration_rad_s2).max(initial=0.0)
        jerk = _third(change, gaps_s)
        shares["jerk of a joint"] = np.abs(jerk / limits.joint_jerk_rad_s3).max(initial=0.0)
    return [f"{name} is {share:.3f} of its bound" for name, share in shares.items() if share > 1 + SLACK]


def _derivatives(
    path: Float[np.ndarray, "t n"], gaps_s: Float[np.ndarray, "t-1"]
) -> tuple[Float[np.ndarray, "v n"], Float[np.ndarray, "a n"]]:
    """Return mean velocities between points that lie apart in time, and their mean changes."""
    taken = gaps_s > 0.0
    gaps_s = gaps_s[taken]
    velocity = np.diff(path, axis=0)[taken] / gaps_s[:, None]
    return velocity, np.diff(velocity, axis=0) / ((gaps_s[1:] + gaps_s[:-1]) / 2.0)[:, None]


def _third(change: Float[np.ndarray, "a n"], gaps_s: Float[np.ndarray, "t-1"]) -> Float[np.ndarray, "j n"]:
    """Return what mean changes of velocity change by in their turn: a third divided difference, times six."""
    gaps_s = gaps_s[gaps_s > 0.0]
    spans_s = gaps_s[:-2] + gaps_s[1:-1] + gaps_s[2:]
    jerk: np.ndarray = np.diff(change, axis=0) / (spans_s[:, None] / 3.0)
    return jerk


def _speed_shares(
    path_rad: Float[np.ndarray, "t 7"], velocity: Float[np.ndarray, "t-1 7"], limits: RobotLimits
) -> Float[np.ndarray, "t-1 7"]:
    """Return joint velocities between points as shares of what the robot allows at the better of the two."""
    lowest, highest = joint_velocity_bounds(limits, path_rad)
    allowed = np.where(
        velocity < 0.0, -np.minimum(lowest[1:], lowest[:-1]), np.maximum(highest[1:], highest[:-1])
    )
    shares: np.ndarray = np.abs(velocity) / np.maximum(allowed, 1e-6)
    return shares


def _largest(vectors: Float[np.ndarray, "n 3"]) -> float:
    return float(np.linalg.norm(vectors, axis=1).max(initial=0.0))


def largest_shares(
    poses: Sequence[Float[np.ndarray, "4 4"]],
    joints_rad: Sequence[Float[np.ndarray, "7"]],
    dt_s: float,
    limits: RobotLimits,
    config: SafetyConfig,
) -> dict[str, float]:
    """Return how near a motion came to each bound: 1 is the bound. For the arguments see `violations`.

    Velocity, acceleration and jerk are mean values over one, two and three ticks, which no true value's bound may be
    exceeded by. The tool's are norms, as shares of the configured bounds, which are below the robot's; a joint's is
    the largest of the seven, as share of the robot's own table.
    """
    stacked, motion = np.array(poses), config.motion
    turned = stacked[1:, :3, :3] @ np.swapaxes(stacked[:-1, :3, :3], 1, 2)
    still = np.abs(turned - np.eye(3)).max(axis=(1, 2)) < 1e-15
    angular = np.array([np.zeros(3) if s else rotation_vector(R) for s, R in zip(still, turned, strict=True)])
    linear = np.diff(stacked[:, :3, 3], axis=0)
    shares = {}
    for kind, rates in (("translation", linear / dt_s), ("rotation", angular / dt_s)):
        for order, name in enumerate(ORDERS):
            unit = "m" if kind == "translation" else "rad"
            power = f"s{order + 1}" if order else "s"
            bound = getattr(motion, f"{kind}_{name}_{unit}_{power}")
            shares[f"{kind} {name}"] = float(np.linalg.norm(rates, axis=1).max(initial=0.0)) / bound
            rates = np.diff(rates, axis=0) / dt_s
    path = rates = np.array(joints_rad)
    for order, name in enumerate(ORDERS if len(rates) else ()):
        rates = np.diff(rates, axis=0) / dt_s
        if order == 0:
            share = _speed_shares(path, rates, limits).max(axis=0, initial=0.0)
        else:
            table = np.array(getattr(limits, f"joint_{name}_rad_s{order + 1}"))
            share = np.abs(rates).max(axis=0, initial=0.0) / table
        shares[f"{name} of joint {int(share.argmax()) + 1}"] = float(share.max())
    return shares
