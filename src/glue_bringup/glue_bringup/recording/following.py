"""From a recorded episode: how evenly targets came, and how closely the arm followed them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from glue_perception.bags.reader import BagReader
from glue_perception.errors import BagError
from glue_perception.geometry import rotation_vector
from glue_perception.timing import NS_PER_S

LAGS_S = np.arange(0.0, 0.4, 0.005)
LEAST = 20


@dataclass(frozen=True)
class Following:
    """How one episode's targets came and were followed.

    Attributes:
        chunk_rate_hz: Of the action chunks.
        target_rate_hz: Of the targets.
        jitter_p95_ms: 95 of 100 intervals between targets differ by less than this from the median interval.
        jitter_max_ms: The largest difference.
        error_p50_mm: Distance from the target in force to the measured tool: median.
        error_p95_mm: The same, 95 of 100 are less.
        turn_p95_deg: The same for the rotation.
        lag_ms: By how much later the arm is where its target was; of an impedance law most of the error is lag.
        settled_p50_mm: The distance that is left when the lag is taken out: median. In contact it stays.
        settled_p95_mm: The same, 95 of 100 are less.
    """

    chunk_rate_hz: float
    target_rate_hz: float
    jitter_p95_ms: float
    jitter_max_ms: float
    error_p50_mm: float
    error_p95_mm: float
    turn_p95_deg: float
    lag_ms: float
    settled_p50_mm: float
    settled_p95_mm: float


def following(path: Path) -> Following:
    """Return what a bag says. The state is known at the frames' stamps, the targets in between are interpolated.

    Raises:
        BagError: the bag cannot be read, or holds too few targets or states.
    """
    with BagReader(path) as bag:
        targets = list(bag.targets())
        states = list(bag.robot_states())
        chunks_ns = np.array([chunk.stamp_ns for chunk in bag.chunks()])
    if min(len(targets), len(states)) < LEAST or len(chunks_ns) < 2:
        raise BagError(
            f"{path} holds too little: {len(targets)} targets, {len(states)} states; record an episode"
        )
    times_ns = np.array([stamp_ns for stamp_ns, _ in targets])
    poses = np.array([pose for _, pose in targets])
    intervals_ms = np.diff(times_ns) / 1e6
    jitter_ms = np.abs(intervals_ms - np.median(intervals_ms))
    seen = [s for s in states if times_ns[0] + LAGS_S[-1] * NS_PER_S <= s.stamp_ns <= times_ns[-1]]
    if len(seen) < LEAST:
        raise BagError(f"{path}: only {len(seen)} states lie between its targets; record a longer episode")
    seen_ns = np.array([s.stamp_ns for s in seen])
    measured_m = np.array([s.T_base_ee[:3, 3] for s in seen])
    away_m = _away(times_ns, poses[:, :3, 3], seen_ns, measured_m, 0.0)
    lagged = [_away(times_ns, poses[:, :3, 3], seen_ns, measured_m, lag_s) for lag_s in LAGS_S]
    best = int(np.argmin([np.square(a).mean() for a in lagged]))
    nearest = np.clip(np.searchsorted(times_ns, seen_ns), 0, len(poses) - 1)
    turns = [
        np.linalg.norm(rotation_vector(poses[k, :3, :3] @ s.T_base_ee[:3, :3].T))
        for k, s in zip(nearest, seen, strict=True)
    ]
    return Following(
        chunk_rate_hz=_rate(chunks_ns),
        target_rate_hz=_rate(times_ns),
        jitter_p95_ms=float(np.percentile(jitter_ms, 95)),
        jitter_max_ms=float(jitter_ms.max()),
        error_p50_mm=1e3 * float(np.median(away_m)),
        error_p95_mm=1e3 * float(np.percentile(away_m, 95)),
        turn_p95_deg=float(np.degrees(np.percentile(turns, 95))),
        lag_ms=1e3 * float(LAGS_S[best]),
        settled_p50_mm=1e3 * float(np.median(lagged[best])),
        settled_p95_mm=1e3 * float(np.percentile(lagged[best], 95)),
    )


def _away(
    times_ns: Int[np.ndarray, "t"],
    targets_m: Float[np.ndarray, "t 3"],
    seen_ns: Int[np.ndarray, "n"],
    measured_m: Float[np.ndarray, "n 3"],
    lag_s: float,
) -> Float[np.ndarray, "n"]:
    """Return distances [m] from where the targets were `lag_s` before."""
    at_ns = seen_ns - lag_s * NS_PER_S
    target_m = np.stack([np.interp(at_ns, times_ns, targets_m[:, axis]) for axis in range(3)], axis=1)
    away: np.ndarray = np.linalg.norm(target_m - measured_m, axis=1)
    return away


def _rate(stamps_ns: Int[np.ndarray, "n"]) -> float:
    return float((len(stamps_ns) - 1) / ((stamps_ns[-1] - stamps_ns[0]) / NS_PER_S))
