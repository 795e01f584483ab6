"""Which action chunks may be put in force."""

from __future__ import annotations

import numpy as np

from glue_bringup.safety.chunk_executor import ChunkExecutor
from glue_bringup.safety.config import WatchdogConfig
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk

MAX_DISTANCE_M = 5.0
"""No Franka reaches further than 0.86 m: what lies beyond this is not a target but an error, e.g. millimetres."""

MIN_DT_S = 1e-3
MAX_COLUMN = 1e3
MIN_SINE = 1e-2


def refusal(chunk: ActionChunk, executor: ChunkExecutor, config: WatchdogConfig, now_ns: int) -> str:
    """Return why a chunk may not be put in force; empty if it may."""
    age_s = (now_ns - chunk.stamp_ns) / NS_PER_S
    if age_s < -config.stamp_tolerance_s:
        return f"its stamp lies {-age_s:.3f} s in the future; check the clocks"
    if age_s > config.max_chunk_age_s:
        return f"its observation is {age_s:.3f} s old; {config.max_chunk_age_s} s at most"
    if executor.is_expired(chunk, now_ns):
        return "the time of its last action has passed; the policy is too slow"
    current = executor.chunk
    if current is not None and chunk.stamp_ns < current.stamp_ns:
        return "a chunk of a newer observation is in force"
    return _nonsense(chunk)


def _nonsense(chunk: ActionChunk) -> str:
    """Return what is wrong with a chunk's numbers, which are finite; empty if nothing is."""
    if chunk.dt_s < MIN_DT_S:
        return f"its actions are {chunk.dt_s:g} s apart; {MIN_DT_S:g} s at least"
    farthest_m = float(np.abs(chunk.position_m).max())
    if farthest_m > MAX_DISTANCE_M:
        return f"it asks for a position {farthest_m:.3g} m away; are its units metres?"
    columns = chunk.rotation_6d.reshape(-1, 2, 3)
    if np.abs(columns).max() > MAX_COLUMN:
        return "its rotations are far from unit columns; is it normalised?"
    sizes = np.linalg.norm(columns, axis=2)
    areas = np.linalg.norm(np.cross(columns[:, 0], columns[:, 1]), axis=1)
    if np.any(areas < MIN_SINE * sizes.prod(axis=1)):
        return "the two columns of a rotation are nearly parallel"
    return ""
