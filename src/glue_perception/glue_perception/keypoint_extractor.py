"""From text queries to keypoints, once per episode (paper, III-B)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from glue_perception.clustering import nearest_to_centres, share_clusters
from glue_perception.detectors.base import Detector
from glue_perception.errors import QueryError
from glue_perception.features.base import FeatureEncoder
from glue_perception.segmenters.base import Segmenter
from glue_perception.types import CameraFrame, Detection, Keypoints

_MIN_KEPT_SHARE = 0.4
_MAX_EROSION_PX = 4


@dataclass(frozen=True, eq=False)
class Extraction:
    """What was found in the first frame.

    Attributes:
        detections: One per query, in the order of the queries.
        masks: One per query.
        keypoints: All objects' points together; `query_index` says whose.
    """

    detections: tuple[Detection, ...]
    masks: Bool[np.ndarray, "objects height width"]
    keypoints: Keypoints


@dataclass(frozen=True, eq=False)
class ObjectPoints:
    """One object's points and what they look like.

    Attributes:
        detection: Of its query.
        mask: Its pixels.
        xy_px: The points.
        features: The encoder's vector at each point.
        mean_feature: Of all the pixels that the points were chosen from.
    """

    detection: Detection
    mask: Bool[np.ndarray, "height width"]
    xy_px: Float[np.ndarray, "n 2"]
    features: Float[np.ndarray, "n channels"]
    mean_feature: Float[np.ndarray, "channels"]


class KeypointExtractor:
    """Detector, segmenter, features and K-means in a row. Stateless and deterministic if its parts are.

    Args:
        detector: Gives a box per query.
        segmenter: Gives a mask per box.
        features: Gives a vector per masked pixel.
        num_keypoints: The paper's N_cluster: the total over all objects (Table III).
        seed: Of K-means.
    """

    def __init__(
        self,
        detector: Detector,
        segmenter: Segmenter,
        features: FeatureEncoder,
        num_keypoints: int = 15,
        seed: int = 0,
    ) -> None:
        self._detector, self._segmenter, self._features = detector, segmenter, features
        self._num_keypoints, self._seed = num_keypoints, seed

    def extract(self, frame: CameraFrame, queries: Sequence[str]) -> Extraction:
        """Return detections, masks and exactly `num_keypoints` keypoints.

        Raises:
            QueryError: a query cannot be answered, or an object is too small for its share of the keypoints.
            ConfigError: `num_keypoints` is too small for the number of queries.
        """
        detections = self._detector.detect(frame.rgb, queries)
        masks = self._segmenter.segment(frame.rgb, detections)
        shares = share_clusters([int(mask.sum()) for mask in masks], self._num_keypoints)
        xy_px = [
            self._points_of(frame, detection.query, mask, share)
            for detection, mask, share in zip(detections, masks, shares, strict=True)
        ]
        keypoints = Keypoints(
            xy_px=np.concatenate(xy_px),
            query_index=np.repeat(np.arange(len(shares)), shares),
            cluster_index=np.arange(self._num_keypoints),
        )
        return Extraction(tuple(detections), masks, keypoints)

    def extract_object(self, frame: CameraFrame, query: str, count: int) -> ObjectPoints:
        """Return one object's points, found as `extract` finds them; for finding it again within an episode.

        Raises:
            QueryError: the query cannot be answered in this frame, or the object is too small for `count` points.
        """
        alone = copy.copy(self)
        alone._num_keypoints = count
        found = alone.extract(frame, [query])
        return self.describe(frame, found.detections[0], found.masks[0], found.keypoints.xy_px)

    def describe(
        self,
        frame: CameraFrame,
        detection: Detection,
        mask: Bool[np.ndarray, "height width"],
        xy_px: Float[np.ndarray, "n 2"],
    ) -> ObjectPoints:
        """Return what points of an object look like that were chosen by `extract` or `extract_object`."""
        core = eroded(mask, len(xy_px))
        features = self._features.encode(frame.rgb, core)
        row_of = np.full(mask.shape, -1)
        row_of[core] = np.arange(len(features))
        col, row = xy_px.astype(int).T
        return ObjectPoints(detection, mask, xy_px, features[row_of[row, col]], features.mean(axis=0))

    def _points_of(
        self, frame: CameraFrame, query: str, mask: Bool[np.ndarray, "height width"], count: int
    ) -> np.ndarray:
        core = eroded(mask, count)
        try:
            chosen = nearest_to_centres(self._features.encode(frame.rgb, core), count, self._seed)
        except QueryError as error:
            raise QueryError(f"query {query!r}: {error}") from error
        xy: np.ndarray = np.argwhere(core)[chosen][:, ::-1].astype(float)
        return xy


def eroded(mask: Bool[np.ndarray, "height width"], count: int) -> Bool[np.ndarray, "height width"]:
    """Return the mask without its rim, where it is large enough.

    The window around a point on the rim is half background: when object and background move apart, a tracker
    follows either of them. Erosion stops before it takes more than 60 % of the mask or leaves fewer than four
    pixels per keypoint.
    """
    kept = mask
    kernel = np.ones((3, 3), np.uint8)
    for _ in range(_MAX_EROSION_PX):
        # Outside the image nothing is known: an object cut by the image's edge keeps its pixels there.
        smaller = cv2.erode(kept.astype(np.uint8), kernel, borderValue=1).astype(bool)
        if smaller.sum() < max(_MIN_KEPT_SHARE * mask.sum(), 4 * count):
            break
        kept = smaller
    return kept
