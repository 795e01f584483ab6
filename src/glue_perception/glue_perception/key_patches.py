"""From tracked points to key-patches on the 28 x 28 grid (paper, III-C 2)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from glue_perception.geometry import grid_cells
from glue_perception.types import KeyPatches, Keypoints, PointTracks, TrackHealth


def key_patches_from_tracks(
    tracks: PointTracks,
    health: Int[np.ndarray, "n"],
    query_index: Int[np.ndarray, "n"],
    width_px: int,
    height_px: int,
) -> KeyPatches:
    """Return the cell of each point and whether it may be used.

    Args:
        tracks: The tracker's answer.
        health: `TrackHealth` of each point.
        query_index: Which text query each belongs to.
        width_px: Of the frame.
        height_px: Of the frame.

    Returns:
        Key-patches; a point is visible if it is TRACKED, seen in this frame and inside the image. The cell of a
        point outside the image is the nearest one.
    """
    x, y = tracks.xy_px[:, 0], tracks.xy_px[:, 1]
    inside = (x >= -0.5) & (x < width_px - 0.5) & (y >= -0.5) & (y < height_px - 0.5)
    return KeyPatches(
        stamp_ns=tracks.stamp_ns,
        row_col=grid_cells(tracks.xy_px, width_px, height_px),
        xy_px=tracks.xy_px,
        visible=tracks.visible & inside & (health == TrackHealth.TRACKED),
        health=health,
        query_index=query_index,
        result_age_ns=tracks.result_age_ns,
    )


def key_patches_of_keypoints(
    keypoints: Keypoints, stamp_ns: int, width_px: int, height_px: int
) -> KeyPatches:
    """Return the key-patches of the first frame, in which every keypoint is seen.

    Args:
        keypoints: As extracted.
        stamp_ns: Of the first frame.
        width_px: Of that frame.
        height_px: Of that frame.
    """
    count = len(keypoints)
    tracks = PointTracks(stamp_ns, keypoints.xy_px, np.ones(count, bool), np.ones(count))
    health = np.full(count, int(TrackHealth.TRACKED))
    return key_patches_from_tracks(tracks, health, keypoints.query_index, width_px, height_px)
