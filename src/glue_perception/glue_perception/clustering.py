"""K-means over pixel features: which pixels become keypoints (paper, III-B 2)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int

from glue_perception.errors import ConfigError, QueryError

_MAX_PIXELS = 20_000
"""More pixels than this do not move the centres; every k-th is taken so that time is bounded."""


def share_clusters(mask_areas_px: Sequence[int], num_clusters: int, min_per_object: int = 3) -> list[int]:
    """Share the total number of clusters out over the objects.

    The paper's N_cluster is the total. Every object gets at least `min_per_object`, so that a small button keeps
    its points beside a large towel; the rest goes by mask area (largest remainder; ties to the first).

    Args:
        mask_areas_px: Pixels of each object's mask.
        num_clusters: The total.
        min_per_object: Least per object.

    Returns:
        One count per object; they add up to `num_clusters`.

    Raises:
        ConfigError: `num_clusters` is less than `min_per_object` for each object, or not positive.
        QueryError: there are no objects, or a mask is empty.
    """
    if num_clusters < 1 or min_per_object < 1:
        raise ConfigError(f"num_keypoints must be at least 1, not {num_clusters}")
    if len(mask_areas_px) == 0:
        raise QueryError("there are no objects to place keypoints on; give at least one query")
    if min(mask_areas_px) < 1:
        raise QueryError(
            f"the mask of object {int(np.argmin(mask_areas_px))} is empty; check its query and its box"
        )
    if num_clusters < min_per_object * len(mask_areas_px):
        raise ConfigError(
            f"num_keypoints is {num_clusters}, but {len(mask_areas_px)} objects need at least {min_per_object} each: "
            f"set it to {min_per_object * len(mask_areas_px)} or more"
        )
    areas = np.asarray(mask_areas_px, float)
    rest = num_clusters - min_per_object * len(areas)
    exact = rest * areas / areas.sum()
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: rest - int(counts.sum())]] += 1
    return [min_per_object + int(count) for count in counts]


def nearest_to_centres(
    features: Float[np.ndarray, "pixels channels"], num_clusters: int, seed: int
) -> Int[np.ndarray, "num_clusters"]:
    """Return the index of the pixel nearest each K-means centre; all are different.

    Args:
        features: One row per pixel.
        num_clusters: K.
        seed: Of the k-means++ start. The same features and seed give the same answer bit for bit.

    Raises:
        QueryError: there are fewer pixels than clusters.
    """
    if len(features) < num_clusters:
        raise QueryError(
            f"a mask of {len(features)} px cannot hold {num_clusters} keypoints; move the camera closer, "
            "use a higher resolution or lower num_keypoints"
        )
    step = max(1, len(features) // _MAX_PIXELS)
    samples = np.ascontiguousarray(features[::step], np.float32)
    if len(samples) < num_clusters:
        samples = np.ascontiguousarray(features, np.float32)
    cv2.setRNGSeed(seed)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-4)
    _, _, centres = cv2.kmeans(samples, num_clusters, None, criteria, 3, cv2.KMEANS_PP_CENTERS)
    chosen: list[int] = []
    for centre in centres:
        distance = np.sum((features - centre) ** 2, axis=1)
        distance[chosen] = np.inf
        chosen.append(int(np.argmin(distance)))
    return np.array(chosen, np.int64)
