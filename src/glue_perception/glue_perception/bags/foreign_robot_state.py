"""Robot states from bags that only hold the standard topics, as `ros2 bag record` on any Franka leaves them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_perception.bags.messages import stamp_ns_of
from glue_perception.bags.robot_messages import pose_of
from glue_perception.errors import BagError
from glue_perception.timing import NS_PER_S
from glue_perception.types import NUM_JOINTS, RobotState

MAX_POSE_AGE_NS = NS_PER_S // 10
"""An arm at full speed moves 0.17 m in this time; a pose older than this is of another situation."""

JOINT = re.compile(r"(?:.*_)?joint([1-7])")
FINGER = re.compile(r".*finger_joint[12]")


class RobotStateJoin:
    """Joins each joint state with the newest pose before it."""

    def __init__(self) -> None:
        self._pose: tuple[int, Float[np.ndarray, "4 4"]] | None = None

    def add(self, message: Any) -> RobotState | None:
        """Take a PoseStamped or a JointState and return a state when one is complete.

        A joint state without the arm's seven joints, or without a pose of the last 0.1 s, gives None. Velocities
        that were not recorded are 0. A gripper with one finger joint has two fingers that mirror each other.

        Raises:
            BagError: names and positions do not match, or the pose is impossible.
        """
        if hasattr(message, "pose"):
            self._pose = pose_of(message)
            return None
        arm, width_m = _joints(message)
        stamp_ns = stamp_ns_of(message)
        if arm is None or self._pose is None or not 0 <= stamp_ns - self._pose[0] <= MAX_POSE_AGE_NS:
            return None
        velocity = message.velocity[arm] if len(message.velocity) else np.zeros(NUM_JOINTS)
        return RobotState(stamp_ns, message.position[arm], velocity, self._pose[1], width_m)


def _joints(message: Any) -> tuple[list[int] | None, float]:
    """Return where joints 1 to 7 are, or None, and the gripper's width in metres (0 without a gripper)."""
    if len(message.position) != len(message.name) or len(message.velocity) not in (0, len(message.name)):
        raise BagError(
            f"a joint state holds {len(message.name)} names, but {len(message.position)} positions and "
            f"{len(message.velocity)} velocities"
        )
    index: dict[int, int] = {}
    fingers: list[float] = []
    for i, name in enumerate(message.name):
        if FINGER.fullmatch(name):
            fingers.append(float(message.position[i]))
        elif match := JOINT.fullmatch(name):
            index[int(match[1])] = i
    arm = [index[j] for j in range(1, NUM_JOINTS + 1)] if len(index) == NUM_JOINTS else None
    return arm, 2.0 * float(np.mean(fingers)) if fingers else 0.0
