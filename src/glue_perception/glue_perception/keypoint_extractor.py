"""From text queries to keypoints, once per episode (paper, III-B)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from glue_perception.clustering import nearest_to_centres, share_clusters
from glue_perception.detectors.base import Detector
from glue_perception.errors import QueryError
from glue_perception.features.base import FeatureEncoder
from glue_perception.object_choice import (
    ObjectChoiceConfig,
    choose,
    refuse_mask,
    refuse_queries,
    refuse_same_boxes,
    refuse_same_masks,
    warn_of_mask,
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
        refusals = refuse_queries(queries)
        unreadable = {index for refusal in refusals for index in refusal.query_indices[-1:]}
        objects = [ObjectFinding(query) for query in queries]
        readable = [index for index in range(len(queries)) if index not in unreadable]
        for index, found in self._proposed(frame, queries, readable):
            if isinstance(found, Refusal):
                refusals.append(found)
            else:
                objects[index], refused = self._chosen(frame, index, queries[index], found)
                refusals.extend(refused)
        refusals += refuse_same_boxes(
            [found.chosen for found in objects],
            self._choice,
            lambda query: self._detector.hint(RefusalReason.SAME_OBJECT, frame.rgb, query),
        )
        objects, refused, warnings = self._segmented(frame, objects)
        refusals += [r for r in refused if not _known(r, refusals)]
        keypoints = None
        if not refusals:
            keypoints, refusals = self._keypoints(frame, objects)
        return Preflight(tuple(objects), tuple(refusals), tuple(warnings), keypoints)

    def _proposed(
        self, frame: CameraFrame, queries: Sequence[str], indices: Sequence[int]
    ) -> Iterator[tuple[int, list[Detection] | Refusal]]:
        """Give each query's candidates, or why the detector cannot read it."""
        if not indices:
            return
        try:
            proposals = self._detector.propose(frame.rgb, [queries[index] for index in indices])
        except QueryError as error:
            if len(indices) == 1:
                yield indices[0], Refusal(RefusalReason.NOT_UNDERSTOOD, str(error), (indices[0],))
                return
            # One unreadable query spoils the call for all; asked one by one, the others still show what they find.
            for index in indices:
                yield from self._proposed(frame, queries, [index])
            return
        yield from zip(indices, proposals, strict=True)

    def _chosen(
        self, frame: CameraFrame, index: int, query: str, candidates: list[Detection]
    ) -> tuple[ObjectFinding, list[Refusal]]:
        choice = choose(
            index,
            query,
            candidates,
            frame.width_px * frame.height_px,
            self._choice,
            self._choice.score_limits(self._detector.score_limits),
            lambda reason: self._detector.hint(reason, frame.rgb, query),
        )
        if isinstance(choice, Refusal):
            return ObjectFinding(query, tuple(candidates)), [choice]
        return ObjectFinding(query, tuple(candidates), choice), []

    def _segmented(
        self, frame: CameraFrame, objects: Sequence[ObjectFinding]
    ) -> tuple[list[ObjectFinding], list[Refusal], list[PreflightWarning]]:
        """Return the findings with masks, and what is wrong with the masks."""
        found, refusals, warnings = list(objects), [], []
        chosen = {index: o.chosen for index, o in enumerate(objects) if o.chosen is not None}
        for index, mask in self._masks(frame, chosen):
            if isinstance(mask, Refusal):
                refusals.append(mask)
                continue
            found[index] = replace(objects[index], mask=mask)
            refused = refuse_mask(index, chosen[index], mask, self._choice)
            refusals += [refused] if refused else []
            warning = warn_of_mask(index, objects[index].query, mask, self._choice)
            warnings += [warning] if warning else []
        refusals += refuse_same_masks([o.query for o in found], [o.mask for o in found], self._choice)
        return found, refusals, warnings

    def _masks(
        self, frame: CameraFrame, chosen: Mapping[int, Detection]
    ) -> Iterator[tuple[int, Bool[np.ndarray, "height width"] | Refusal]]:
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

    def _keypoints(
        self, frame: CameraFrame, objects: Sequence[ObjectFinding]
    ) -> tuple[Keypoints | None, list[Refusal]]:
        shares = share_clusters([o.mask_area_px for o in objects], self._num_keypoints)
        xy_px, refusals = [], []
        for index, (found, share) in enumerate(zip(objects, shares, strict=True)):
            assert found.mask is not None  # noqa: S101  every object without a mask was refused before
            try:
                xy_px.append(self._points_of(frame, found.mask, share))
            except QueryError as error:
                message = f"query {found.query!r}: {error}"
                refusals.append(Refusal(RefusalReason.TOO_FEW_PIXELS, message, (index,)))
        if refusals:
            return None, refusals
        keypoints = Keypoints(
            xy_px=np.concatenate(xy_px),
            query_index=np.repeat(np.arange(len(shares)), shares),
            cluster_index=np.arange(self._num_keypoints),
        )
        return keypoints, []

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


def _known(refusal: Refusal, refusals: Sequence[Refusal]) -> bool:
    """Return whether the same thing was refused for the same queries before: equal boxes have equal masks."""
    return any(r.reason is refusal.reason and r.query_indices == refusal.query_indices for r in refusals)


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
