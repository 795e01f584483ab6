"""The demonstrated steps of a bag: what was seen, where the robot was, what the demonstrator commanded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glue_perception.bags.reader import BagReader
from glue_perception.errors import BagError
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

SPACING_TOLERANCE = 0.5
"""Share of the sampling period by which two steps may be apart more or less."""


@dataclass(frozen=True, eq=False)
class Step:
    """One demonstrated step; all its parts carry the stamp of the frame.

    Attributes:
        frame: As recorded, at the camera's resolution.
        robot_state: At the frame's stamp.
        action: A chunk of one action: the target in force at the frame's stamp.
        key_patches: Of the frame; None where the recording has none.
    """

    frame: CameraFrame
    robot_state: RobotState
    action: ActionChunk
    key_patches: KeyPatches | None

    @property
    def stamp_ns(self) -> int:
        """Capture time of the frame."""
        return self.frame.stamp_ns


def demonstrated_steps(bag: BagReader, *, need_key_patches: bool = True) -> Iterator[Step]:
    """Yield the frames of a bag for which an action was demonstrated, one at a time.

    Args:
        bag: Open.
        need_key_patches: Whether a step without key-patches is refused.

    Raises:
        BagError: no demonstrated action; an action without image, robot state or (if needed) key-patches of its
            stamp, or of another length than one; images of several sizes; NaN (refused by the reader).
    """
    where = bag.path
    actions: dict[int, ActionChunk] = {}
    for action in bag.demonstrated_actions():
        if len(action) != 1:
            raise BagError(
                f"{where}: the demonstrated action at {action.stamp_ns} ns holds {len(action)} actions; record one "
                "per step"
            )
        if action.stamp_ns in actions:
            raise BagError(f"{where} holds two demonstrated actions for {action.stamp_ns} ns; leave it out")
        actions[action.stamp_ns] = action
    if not actions:
        raise BagError(
            f"{where} holds no demonstrated actions; record demonstrations with --policy expert or by hand"
        )
    patches = {p.stamp_ns: p for p in bag.key_patches() if p.stamp_ns in actions}
    states = {s.stamp_ns: s for s in bag.robot_states() if s.stamp_ns in actions}
    size: tuple[int, int] | None = None
    done = 0
    for frame in bag.frames():
        stamp_ns = frame.stamp_ns
        if stamp_ns not in actions:
            continue
        if stamp_ns not in states or (need_key_patches and stamp_ns not in patches):
            raise BagError(f"{where} lacks key-patches or a robot state for the frame of {stamp_ns} ns")
        found = (frame.width_px, frame.height_px)
        size = size or found
        if found != size:
            raise BagError(
                f"{where} holds images of several sizes: {size[0]} x {size[1]} px, then {found[0]} x {found[1]} px "
                f"at {stamp_ns} ns; record at one size"
            )
        yield Step(frame, states[stamp_ns], actions[stamp_ns], patches.get(stamp_ns))
        done += 1
    if done != len(actions):
        raise BagError(f"{where} holds {len(actions)} demonstrated actions but images for {done} of them")


def check_spacing(where: object, stamps_ns: np.ndarray, dt_s: float) -> None:
    """Refuse steps that are not `dt_s` apart.

    Args:
        where: Named in the message.
        stamps_ns: Of the steps [t].
        dt_s: What is expected between them.

    Raises:
        BagError: a gap, a step back in time, or a demonstration of another rate.
    """
    gaps_s = np.diff(stamps_ns) / NS_PER_S
    wrong = np.flatnonzero(np.abs(gaps_s - dt_s) > SPACING_TOLERANCE * dt_s)
    if not len(wrong):
        return
    typical_s = float(np.median(gaps_s))
    if typical_s > 0 and abs(typical_s - dt_s) > SPACING_TOLERANCE * dt_s:
        raise BagError(
            f"{where} has a step every {typical_s:.3f} s where {dt_s:g} s is expected; train at its rate (the task's "
            "policy.rate_hz) or record again"
        )
    raise BagError(
        f"{where} has a gap of {gaps_s[wrong[0]]:.3f} s after step {wrong[0]} where {dt_s:g} s is expected; "
        "leave this demonstration out"
    )
