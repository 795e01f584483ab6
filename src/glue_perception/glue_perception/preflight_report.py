"""A preflight as plain values for programs (JSON), and as lines for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from glue_perception.key_patches import key_patches_of_keypoints
from glue_perception.object_choice import box_text
from glue_perception.preflight import ObjectFinding, Preflight
from glue_perception.types import CameraFrame, Detection

_MAX_CANDIDATES = 10


def report_of(preflight: Preflight, frame: CameraFrame) -> dict[str, Any]:
    """Return what a preflight found, as JSON values. The same keys stand there whether it was accepted or refused.

    Pixels are (x right, y down) of the frame as the camera gave it; boxes are [left, top, right, bottom], right and
    bottom exclusive; shares and scores are 0..1.

    Returns:
        ok (bool): An episode may start.
        width_px, height_px, stamp_ns (int): The frame's.
        queries (list of str): In their order; every `query_index` counts in it from 0.
        refusals (list): Empty if ok. Each {reason: a value of `RefusalReason`, message: one line for people,
            query_indices: list of int}.
        warnings (list): Each {message, query_index}.
        objects (list): One per query, each {query, chosen: {box_xyxy_px, score} or null, candidates: the ten best,
            best first, each {box_xyxy_px, score}, num_candidates: how many there were, mask: {area_px,
            image_share, box_share} or null, num_keypoints}.
        keypoints (list): Each {query_index, xy_px: [x, y], row_col: [row, column] of its grid cell}; empty if
            refused.
        cells (list): The different [row, column] of all keypoints, 0..27; empty if refused.
    """
    points: list[dict[str, Any]] = []
    cells: list[list[int]] = []
    if preflight.keypoints is not None:
        patches = key_patches_of_keypoints(
            preflight.keypoints, frame.stamp_ns, frame.width_px, frame.height_px
        )
        points = [
            {"query_index": query, "xy_px": xy, "row_col": cell}
            for query, xy, cell in zip(
                patches.query_index.tolist(), patches.xy_px.tolist(), patches.row_col.tolist(), strict=True
            )
        ]
        cells = np.unique(patches.row_col, axis=0).tolist()
    return {
        "ok": preflight.ok,
        "width_px": frame.width_px,
        "height_px": frame.height_px,
        "stamp_ns": frame.stamp_ns,
        "queries": [found.query for found in preflight.objects],
        "refusals": [
            {"reason": r.reason.value, "message": r.message, "query_indices": list(r.query_indices)}
            for r in preflight.refusals
        ],
        "warnings": [{"message": w.message, "query_index": w.query_index} for w in preflight.warnings],
        "objects": [
            _object(found, preflight.num_keypoints_of(index)) for index, found in enumerate(preflight.objects)
        ],
        "keypoints": points,
        "cells": cells,
    }


def summary_lines(preflight: Preflight) -> list[str]:
    """Return one line per query, then one per warning; refusals are the caller's to say."""
    lines = []
    for index, found in enumerate(preflight.objects):
        if found.chosen is None:
            best = found.candidates[:1]
            lines.append(
                f"{found.query}: none chosen"
                + "".join(f", best {box_text(c)}  score {c.score:.2f}" for c in best)
            )
            continue
        score = f"box {box_text(found.chosen)}  score {found.chosen.score:.2f}"
        score += "".join(f" (next {c.score:.2f})" for c in found.rivals[:1])
        mask = f"mask {found.mask_area_px} px ({found.mask_box_share:.0%} of its box)"
        lines.append(f"{found.query}: {score}  {mask}  {preflight.num_keypoints_of(index)} keypoints")
    return lines + [f"warning: {w.message}" for w in preflight.warnings]


def _object(found: ObjectFinding, num_keypoints: int) -> dict[str, Any]:
    mask = None
    if found.mask is not None:
        mask = {
            "area_px": found.mask_area_px,
            "image_share": round(found.mask_image_share, 6),
            "box_share": round(found.mask_box_share, 4),
        }
    return {
        "query": found.query,
        "chosen": None if found.chosen is None else _detection(found.chosen),
        "candidates": [_detection(c) for c in found.candidates[:_MAX_CANDIDATES]],
        "num_candidates": len(found.candidates),
        "mask": mask,
        "num_keypoints": num_keypoints,
    }


def _detection(detection: Detection) -> dict[str, Any]:
    return {"box_xyxy_px": detection.box_xyxy_px.tolist(), "score": round(detection.score, 4)}
