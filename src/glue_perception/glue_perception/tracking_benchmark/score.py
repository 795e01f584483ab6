"""How far a tracker was from the labels, and how honest about what it did not see."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from jaxtyping import Bool

from glue_perception.tracking_benchmark.clip_run import ClipRun, called_tracked
from glue_perception.tracking_benchmark.labels import LabelledClip, LabelledPoint


def score_clip(clip: LabelledClip, run: ClipRun) -> dict[str, Any]:
    """Return point name -> figures, with `ms_per_frame` (median of the updates) beside the points."""
    scores: dict[str, Any] = {
        point.name: score_point(point, run, index) for index, point in enumerate(clip.points)
    }
    scores["ms_per_frame"] = round(float(np.median(run.update_ms)), 3) if run.update_ms else 0.0
    return scores


def score_point(point: LabelledPoint, run: ClipRun, index: int) -> dict[str, Any]:
    """Return one point's figures over all frames with a label, that in which it was started included.

    median_px, max_px: Distance to the label over all frames labelled visible, whatever health says; None if there
        are none.
    tracked_median_px, tracked_max_px: The same over those that health calls tracked: what a policy gets to see.
    visible_frames, visible_called_tracked: Frames labelled visible, and how many of them health calls tracked.
    hidden_frames, hidden_called_tracked: Frames labelled hidden, and how many of them health wrongly calls tracked.
    recovery_s: For each return from hidden to visible, the time from the first visible label until health calls
        the point tracked; None where it never does before it is hidden again or the clip ends.
    """
    visible = [frame for frame, xy in point.frames.items() if xy is not None]
    hidden = [frame for frame, xy in point.frames.items() if xy is None and frame > visible[0]]
    labels = np.array([point.frames[frame] for frame in visible], float).reshape(-1, 2)
    error_px = np.linalg.norm(run.xy_px[visible, index] - labels, axis=1)
    tracked = called_tracked(run.health[:, index])
    seen = tracked[visible]
    return {
        "median_px": _rounded(error_px, np.median),
        "max_px": _rounded(error_px, np.max),
        "visible_frames": len(visible),
        "hidden_frames": len(hidden),
        "hidden_called_tracked": int(tracked[hidden].sum()),
        "visible_called_tracked": int(seen.sum()),
        "tracked_median_px": _rounded(error_px[seen], np.median),
        "tracked_max_px": _rounded(error_px[seen], np.max),
        "recovery_s": _recovery_s(point, tracked, run.rate_hz),
    }


def _recovery_s(
    point: LabelledPoint, tracked: Bool[np.ndarray, "frames"], rate_hz: float
) -> list[float | None]:
    """Return the time from each first visible label after a hidden one until health calls the point tracked."""
    times: list[float | None] = []
    frames = sorted(point.frames)
    for before, frame in itertools.pairwise(frames):
        if point.frames[before] is not None or point.frames[frame] is None:
            continue
        end = min((f for f in frames if f > frame and point.frames[f] is None), default=len(tracked))
        found = np.flatnonzero(tracked[frame:end])
        times.append(round(float(found[0]) / rate_hz, 3) if len(found) else None)
    return times


def _rounded(values: np.ndarray, reduce: Any) -> float | None:
    return round(float(reduce(values)), 2) if len(values) else None
