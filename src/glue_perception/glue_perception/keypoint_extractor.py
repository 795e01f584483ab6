"""From text queries to keypoints, once per episode (paper, III-B)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from glue_perception.clustering import nearest_to_centres, share_clusters
from glue_perception.detectors.base import Detector
from glue_perception.errors import QueryError
from glue_perception.features.base import FeatureEncoder
from glue_perception.mask_checks import refuse_mask, refuse_same_masks, warn_of_mask
from glue_perception.object_choice import (
    ObjectChoiceConfig,
    choose,
    refuse_queries,
    refuse_same_boxes,
    warn_of_close_call,
)
from glue_perception.preflight import ObjectFinding, Preflight, PreflightWarning, Refusal, RefusalReason
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
    """Detector, choice, segmenter, features and K-means in a row. Stateless and deterministic if its parts are.

    Args:
        detector: Gives candidates per query.
        segmenter: Gives a mask per box.
        features: Gives a vector per masked pixel.
        num_keypoints: The paper's N_cluster: the total over all objects (Table III).
        seed: Of K-means.
        choice: Limits of the choice among the candidates.
    """

    def __init__(
        self,
        detector: Detector,
        segmenter: Segmenter,
        features: FeatureEncoder,
        num_keypoints: int = 15,
        seed: int = 0,
        choice: ObjectChoiceConfig | None = None,
    ) -> None:
        self._detector, self._segmenter, self._features = detector, segmenter, features
        self._num_keypoints, self._seed = num_keypoints, seed
        self._choice = choice or ObjectChoiceConfig()

    def extract(self, frame: CameraFrame, queries: Sequence[str]) -> Extraction:
        """Return detections, masks and exactly `num_keypoints` keypoints.

        Raises:
            QueryError: the first refusal of `preflight`: a query is absent, ambiguous, ..., or an object is too
                small for its share of the keypoints.
            ConfigError: `num_keypoints` is too small for the number of queries.
        """
        return extraction_of(self.preflight(frame, queries))

    def preflight(self, frame: CameraFrame, queries: Sequence[str]) -> Preflight:
        """Return all that is found for the queries, and every reason to refuse them.

        Raises:
            ConfigError: nothing is refused, but `num_keypoints` is too small for the number of queries.
        """
        draft = _Draft(frame, queries)
        self._choose(draft)
        self._segment(draft)
        keypoints = None if draft.refusals else self._place_keypoints(draft)
        return Preflight(tuple(draft.objects), tuple(draft.refusals), tuple(draft.warnings), keypoints)

    def _choose(self, draft: _Draft) -> None:
        """Let the detector propose, and choose one candidate per query."""
        draft.refusals += refuse_queries(draft.queries)
        bad = {refusal.query_indices[-1] for refusal in draft.refusals if refusal.query_indices}
        good = [index for index in range(len(draft.queries)) if index not in bad]
        for index, proposed in self._proposals(draft, good):
            if isinstance(proposed, Refusal):
                draft.refusals.append(proposed)
            else:
                self._choose_one(draft, index, proposed)
        rgb = draft.frame.rgb
        draft.refusals += refuse_same_boxes(
            [found.chosen for found in draft.objects],
            self._choice,
            lambda query: self._detector.hint(RefusalReason.SAME_OBJECT, rgb, query),
        )

    def _proposals(
        self, draft: _Draft, indices: Sequence[int]
    ) -> Iterator[tuple[int, list[Detection] | Refusal]]:
        """Give each query's candidates, or why the detector cannot read it."""
        if not indices:
            return
        try:
            proposals = self._detector.propose(draft.frame.rgb, [draft.queries[index] for index in indices])
        except QueryError as error:
            if len(indices) == 1:
                yield indices[0], Refusal(RefusalReason.NOT_UNDERSTOOD, str(error), (indices[0],))
                return
            # One unreadable query spoils the call for all; asked one by one, the others still show what they find.
            for index in indices:
                yield from self._proposals(draft, [index])
            return
        yield from zip(indices, proposals, strict=True)

    def _choose_one(self, draft: _Draft, index: int, candidates: list[Detection]) -> None:
        frame, query = draft.frame, draft.queries[index]
        limits = self._detector.score_limits
        choice = choose(
            index,
            query,
            candidates,
            frame.width_px * frame.height_px,
            self._choice,
            limits,
            lambda reason: self._detector.hint(reason, frame.rgb, query),
        )
        if isinstance(choice, Refusal):
            draft.objects[index] = ObjectFinding(query, tuple(candidates))
            draft.refusals.append(choice)
            return
        draft.objects[index] = ObjectFinding(query, tuple(candidates), choice)
        draft.warn(warn_of_close_call(index, query, candidates, self._choice, limits))

    def _segment(self, draft: _Draft) -> None:
        """Cut out every chosen object, and look whether its mask can be it."""
        chosen = {index: o.chosen for index, o in enumerate(draft.objects) if o.chosen is not None}
        for index, mask in self._masks(draft.frame, chosen):
            if isinstance(mask, Refusal):
                draft.refusals.append(mask)
                continue
            draft.objects[index] = replace(draft.objects[index], mask=mask)
            refusal = refuse_mask(index, chosen[index], mask, self._choice)
            draft.refusals += [] if refusal is None else [refusal]
            draft.warn(warn_of_mask(index, draft.queries[index], mask, self._choice))
        same = refuse_same_masks(draft.queries, [found.mask for found in draft.objects], self._choice)
        # Equal boxes have equal masks; once is enough.
        told = {(refusal.reason, refusal.query_indices) for refusal in draft.refusals}
        draft.refusals += [refusal for refusal in same if (refusal.reason, refusal.query_indices) not in told]

    def _masks(
        self, frame: CameraFrame, chosen: Mapping[int, Detection]
    ) -> Iterator[tuple[int, Bool[np.ndarray, "height width"] | Refusal]]:
        """Give each chosen object's mask, or why there is none."""
        if not chosen:
            return
        try:
            masks = self._segmenter.segment(frame.rgb, list(chosen.values()))
        except QueryError as error:
            for index, detection in chosen.items():
                if len(chosen) == 1:
                    yield index, Refusal(RefusalReason.NO_MASK, str(error), (index,))
                else:
                    yield from self._masks(frame, {index: detection})
            return
        yield from zip(chosen, masks, strict=True)

    def _place_keypoints(self, draft: _Draft) -> Keypoints | None:
        masks = [found.mask for found in draft.objects if found.mask is not None]
        shares = share_clusters([int(mask.sum()) for mask in masks], self._num_keypoints)
        xy_px = []
        for index, (mask, share) in enumerate(zip(masks, shares, strict=True)):
            try:
                xy_px.append(self._points_of(draft.frame, mask, share))
            except QueryError as error:
                message = f"query {draft.queries[index]!r}: {error}"
                draft.refusals.append(Refusal(RefusalReason.TOO_FEW_PIXELS, message, (index,)))
        if draft.refusals:
            return None
        return Keypoints(
            xy_px=np.concatenate(xy_px),
            query_index=np.repeat(np.arange(len(shares)), shares),
            cluster_index=np.arange(self._num_keypoints),
        )

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
        self, frame: CameraFrame, mask: Bool[np.ndarray, "height width"], count: int
    ) -> Float[np.ndarray, "count 2"]:
        core = thinned(eroded(mask, count), self._features.max_pixels)
        chosen = nearest_to_centres(self._features.encode(frame.rgb, core), count, self._seed)
        xy: np.ndarray = np.argwhere(core)[chosen][:, ::-1].astype(float)
        return xy


def extraction_of(preflight: Preflight) -> Extraction:
    """Return what an episode starts with.

    Raises:
        QueryError: the preflight's first refusal.
    """
    if preflight.keypoints is None:
        raise QueryError(preflight.refusals[0].message)
    detections = tuple(found.chosen for found in preflight.objects if found.chosen is not None)
    masks = np.stack([found.mask for found in preflight.objects if found.mask is not None])
    return Extraction(detections, masks, preflight.keypoints)


class _Draft:
    """A preflight in the making."""

    def __init__(self, frame: CameraFrame, queries: Sequence[str]) -> None:
        self.frame, self.queries = frame, queries
        self.objects = [ObjectFinding(query) for query in queries]
        self.refusals: list[Refusal] = []
        self.warnings: list[PreflightWarning] = []

    def warn(self, warning: PreflightWarning | None) -> None:
        if warning is not None:
            self.warnings.append(warning)


def thinned(
    mask: Bool[np.ndarray, "height width"], max_pixels: int | None
) -> Bool[np.ndarray, "height width"]:
    """Return the mask, or where it has more than `max_pixels`, those of its pixels that lie on a square lattice.

    The lattice begins at the image's corner and has the smallest step (2, 3, ... px) that leaves no more. A keypoint
    then lies on the lattice; half a step is far below a cell of the key-patch grid (18 px of 512).
    """
    step, kept = 1, mask
    while max_pixels is not None and kept.sum() > max_pixels:
        step += 1
        kept = np.zeros_like(mask)
        kept[::step, ::step] = mask[::step, ::step]
    return kept


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
