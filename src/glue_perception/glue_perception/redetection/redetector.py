"""Decides when to look for an object again, and when what was found is taken in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from glue_perception.keypoint_extractor import Extraction, KeypointExtractor
from glue_perception.redetection.carrier import gray_of
from glue_perception.redetection.config import RedetectionConfig, RedetectionCounts, RedetectionMode
from glue_perception.redetection.worker import (
    EpisodeLooks,
    Found,
    Search,
    SearchRequest,
    SearchWorker,
    look_for,
)
from glue_perception.timing import NS_PER_S
from glue_perception.types import CameraFrame, TrackHealth


@dataclass(frozen=True, eq=False)
class TakenIn:
    """The result of a search, at the frame at which it is taken in.

    Attributes:
        from_ns: Stamp of the searched frame.
        index: Lost points that have a new place; none if everything was refused.
        xy_px: Their places in the present frame.
    """

    from_ns: int
    index: Int[np.ndarray, "k"]
    xy_px: Float[np.ndarray, "k 2"]


class Redetector:
    """Looks for the lost objects of one episode. One thread calls it, at every good frame, in the order of stamps.

    Everything but the duration of a search follows from the frames. So live and replay agree whenever searches are
    done in time; for those that were late, a replay is given the record of when they were taken in.

    Args:
        extractor: Finds objects and their points.
        worker: Runs the searches.
        config: Limits.
        mode: Whether a frame at which a search is due waits for it.
        frame: The episode's first.
        extraction: What was found in it.
        queries: One per object.
        taken_in: Of a recorded episode: stamp of a frame -> stamp of the snapshot whose search was taken in there;
            None to go by `mode`. A search that the record does not know is never taken in.
    """

    def __init__(
        self,
        extractor: KeypointExtractor,
        worker: SearchWorker,
        config: RedetectionConfig,
        mode: RedetectionMode,
        frame: CameraFrame,
        extraction: Extraction,
        queries: Sequence[str],
        taken_in: Mapping[int, int] | None = None,
    ) -> None:
        self.counts = RedetectionCounts()
        self._extractor, self._worker, self._config, self._mode = extractor, worker, config, mode
        self._queries = tuple(queries)
        self._looks = EpisodeLooks(extractor, frame, extraction)
        self._members = [np.flatnonzero(extraction.keypoints.query_index == q) for q in range(len(queries))]
        self._taken_in = taken_in
        self._search: Search | None = None
        self._search_was_due = False
        self._lost_since_ns: dict[int, int] = {}
        self._not_before_ns: dict[int, int] = {}
        self._refusals = dict.fromkeys(range(len(queries)), 0)

    def step(
        self,
        frame: CameraFrame,
        xy_px: Float[np.ndarray, "n 2"],
        health: Int[np.ndarray, "n"],
        urgent: bool = False,
    ) -> TakenIn | None:
        """Take the next good frame; return a search's result if it is to be taken in now.

        Args:
            frame: In the episode's size.
            xy_px: Where the points are in it.
            health: Of the points in it.
            urgent: The tracker has failed: do not wait for how long they have been lost.
        """
        if not self._config.enabled:
            return None
        if self._search is not None:
            self._search.add(gray_of(frame))
            return self._take_in(self._search, frame, health)
        wanted = self._wanted(frame.stamp_ns, health, urgent)
        if wanted:
            self._begin(frame, wanted, xy_px, health)
        return None

    def failed(self, stamp_ns: int, error: Exception) -> None:
        """Take note of a step that raised: its search is refused."""
        if self._search is not None:
            why = f"the search failed: {type(error).__name__}: {error}"
            self._refuse(self._search.request.wanted, stamp_ns, why)
        self.cancel()

    def cancel(self) -> None:
        """Forget the search under way, if any."""
        if self._search is not None:
            self._search.cancel()
            self._search = None

    def _wanted(self, stamp_ns: int, health: Int[np.ndarray, "n"], urgent: bool) -> tuple[int, ...]:
        wanted = []
        for query, members in enumerate(self._members):
            if not len(members) or np.mean(health[members] == TrackHealth.LOST) < self._config.min_lost_share:
                self._lost_since_ns.pop(query, None)
                continue
            since_ns = self._lost_since_ns.setdefault(query, stamp_ns)
            patience_ns = 0 if urgent else round(self._config.after_s * NS_PER_S)
            if stamp_ns - since_ns >= patience_ns and stamp_ns >= self._not_before_ns.get(query, 0):
                wanted.append(query)
        return tuple(wanted)

    def _begin(
        self,
        frame: CameraFrame,
        wanted: tuple[int, ...],
        xy_px: Float[np.ndarray, "n 2"],
        health: Int[np.ndarray, "n"],
    ) -> None:
        tracked = {q: xy_px[m[health[m] == TrackHealth.TRACKED]] for q, m in enumerate(self._members)}
        request = SearchRequest(frame, wanted, self._queries, tracked)
        self._search, self._search_was_due = Search(request, self._look), False
        self.counts.begun += 1
        self._worker.begin(self._search)

    def _look(self, request: SearchRequest) -> Found:
        return look_for(self._extractor, self._looks, request, self._config)

    def _take_in(self, search: Search, frame: CameraFrame, health: Int[np.ndarray, "n"]) -> TakenIn | None:
        age_ns = frame.stamp_ns - search.stamp_ns
        if self._is_time(search, frame.stamp_ns, age_ns):
            self._search = None
            return self._result(search, frame, health)
        if age_ns >= self._config.give_up_after_s * NS_PER_S:
            self.counts.abandoned += 1
            self._refuse(search.request.wanted, frame.stamp_ns, "it took too long to look for")
            self.cancel()
        return None

    def _is_time(self, search: Search, stamp_ns: int, age_ns: int) -> bool:
        if self._taken_in is not None:
            if self._taken_in.get(stamp_ns) != search.stamp_ns:
                return False
            search.wait()
            return True
        if age_ns < self._config.merge_after_s * NS_PER_S:
            return False
        if self._mode is RedetectionMode.WAIT:
            search.wait()
        if not search.done:
            self.counts.late += not self._search_was_due
            self._search_was_due = True
        return search.done

    def _result(self, search: Search, frame: CameraFrame, health: Int[np.ndarray, "n"]) -> TakenIn:
        arrived, refused = search.result(frame, self._config)
        for query, why in refused.items():
            self._refuse((query,), frame.stamp_ns, why)
        index, places = [np.zeros(0, np.int64)], [np.zeros((0, 2))]
        for query, (xy_px, ok) in arrived.items():
            members = self._members[query]
            # Some may have come back by themselves while they were looked for.
            lost = ok & (health[members] == TrackHealth.LOST)
            index.append(members[lost])
            places.append(xy_px[lost])
            self.counts.merged += bool(lost.any())
            self._refusals[query] = 0
        return TakenIn(search.stamp_ns, np.concatenate(index), np.concatenate(places))

    def _refuse(self, queries: Sequence[int], stamp_ns: int, why: str) -> None:
        config = self._config
        for query in queries:
            pause_s = min(
                config.retry_after_s * 2.0 ** min(self._refusals[query], 16), config.max_retry_after_s
            )
            self._refusals[query] += 1
            self._not_before_ns[query] = stamp_ns + round(pause_s * NS_PER_S)
            self.counts.refused += 1
        self.counts.last_refusal = why
