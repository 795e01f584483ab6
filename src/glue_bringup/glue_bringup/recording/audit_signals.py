"""The audit's arithmetic on whole signals: what is frozen, what does not follow, what moves at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from glue_perception.timing import NS_PER_S

_COMMAND_STEP_M = 0.01
"""A change of the commanded width that the hand has to answer."""

_RESPONSE_M = 0.002
"""More than the noise of the measured width; an object in the fingers stops them anywhere short of the command."""


def nearest_gap_s(stamps_ns: Sequence[int], others_ns: Sequence[int]) -> float:
    """Return the largest distance from a stamp to the nearest of the others; infinite where there are none."""
    if not len(stamps_ns):
        return 0.0
    if not len(others_ns):
        return float("inf")
    ordered = np.sort(np.asarray(others_ns, dtype=np.int64))
    stamps = np.asarray(stamps_ns, dtype=np.int64)
    right = np.clip(np.searchsorted(ordered, stamps), 0, len(ordered) - 1)
    left = np.maximum(right - 1, 0)
    gaps = np.minimum(np.abs(ordered[right] - stamps), np.abs(ordered[left] - stamps))
    return float(gaps.max()) / NS_PER_S


def has_motion(position_m: Float[np.ndarray, "n 3"], width_m: Float[np.ndarray, "n"]) -> bool:
    """Return whether the command moves by a millimetre at all."""
    return bool(max(np.ptp(position_m, axis=0).max(), np.ptp(width_m)) > 1e-3)


def largest_step_m(position_m: Float[np.ndarray, "n 3"]) -> float:
    """Return the largest distance between neighbouring positions."""
    steps = np.linalg.norm(np.diff(position_m, axis=0), axis=1)
    return float(steps.max()) if len(steps) else 0.0


def frozen_joints(
    stamps_ns: Int[np.ndarray, "t"],
    joints_rad: Float[np.ndarray, "t 7"],
    actions_ns: Int[np.ndarray, "n"],
    actions_m: Float[np.ndarray, "n 3"],
    at_least_s: float,
    motion_m: float,
) -> list[tuple[int | None, float]]:
    """Return (joint, seconds) of joints that repeat to the last bit while the command moves by `motion_m`.

    A measured joint has noise, and even a simulated one creeps while the arm moves. None stands for all joints.
    """
    if len(stamps_ns) < 2:
        return []
    found: list[tuple[int | None, float]] = []
    for joint in range(joints_rad.shape[1]):
        longest_s = 0.0
        for first, last in _runs(joints_rad[:, joint]):
            during = actions_m[(actions_ns >= stamps_ns[first]) & (actions_ns <= stamps_ns[last])]
            span_s = float(stamps_ns[last] - stamps_ns[first]) / NS_PER_S
            if span_s >= at_least_s and len(during) > 1 and np.ptp(during, axis=0).max() > motion_m:
                longest_s = max(longest_s, span_s)
        if longest_s:
            found.append((joint, longest_s))
    if len(found) == joints_rad.shape[1]:
        return [(None, max(seconds for _, seconds in found))]
    return found


def gripper_findings(
    stamps_ns: Int[np.ndarray, "t"],
    widths_m: Float[np.ndarray, "t"],
    actions_ns: Int[np.ndarray, "n"],
    commanded_m: Float[np.ndarray, "n"],
    response_s: float,
    max_width_m: float,
) -> Iterator[tuple[str, str]]:
    """Yield (check, text) of widths that no hand has, and of commands that the hand did not answer."""
    if not len(widths_m):
        return
    if widths_m.min() < -1e-3 or widths_m.max() > max_width_m:
        yield (
            "gripper_range",
            f"the gripper's width is {widths_m.min():.3f}..{widths_m.max():.3f} m, beyond 0..{max_width_m:g} m",
        )
    for step in np.flatnonzero(np.abs(np.diff(commanded_m)) > _COMMAND_STEP_M) + 1:
        begin_ns = int(actions_ns[step])
        end_ns = begin_ns + round(response_s * NS_PER_S)
        changed_back = np.abs(commanded_m[step:] - commanded_m[step]) > _COMMAND_STEP_M
        lasted = not changed_back[actions_ns[step:] <= end_ns].any()
        during = widths_m[(stamps_ns >= begin_ns) & (stamps_ns <= end_ns)]
        if not lasted or stamps_ns[-1] < end_ns or not len(during):
            continue
        if abs(commanded_m[step] - during[0]) > _COMMAND_STEP_M and np.ptp(during) < _RESPONSE_M:
            yield (
                "gripper_silent",
                f"the gripper was told {commanded_m[step]:.3f} m at step {step}, but stays at {during[-1]:.3f} m",
            )
            return


def _runs(values: Float[np.ndarray, "t"]) -> Iterator[tuple[int, int]]:
    """Yield first and last index of each stretch of equal values."""
    edges = np.flatnonzero(np.diff(values) != 0.0)
    starts = np.concatenate([[0], edges + 1])
    ends = np.concatenate([edges, [len(values) - 1]])
    yield from zip(starts.tolist(), ends.tolist(), strict=True)
