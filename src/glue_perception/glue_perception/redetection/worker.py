"""One search in one thread: extraction on a snapshot, then catching up with the frames that came meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from glue_perception.errors import GlueError
from glue_perception.keypoint_extractor import Extraction, KeypointExtractor
from glue_perception.redetection.carrier import PointCarrier
from glue_perception.redetection.config import RedetectionConfig
from glue_perception.redetection.identity import ObjectLook, look_of, match, overlap, refusal
from glue_perception.types import CameraFrame

_JOIN_TIMEOUT_S = 30.0


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found, per query index: points in the order of the object's old ones, or why there are none."""

    xy_px: Mapping[int, Float[np.ndarray, "n 2"]]
    refused: Mapping[int, str]


class EpisodeLooks:
    """What the objects of an episode looked like in its first frame; worked out when first asked for. One thread."""

    def __init__(self, extractor: KeypointExtractor, frame: CameraFrame, extraction: Extraction) -> None:
        self._extractor, self._frame, self._extraction = extractor, frame, extraction
        self._looks: dict[int, ObjectLook] = {}

    def of(self, query_index: int) -> ObjectLook:
        """Return the look of one query's object."""
        if query_index not in self._looks:
            found = self._extraction
            points = self._extractor.describe(
                self._frame,
                found.detections[query_index],
                found.masks[query_index],
                found.keypoints.xy_px[found.keypoints.query_index == query_index],
            )
            self._looks[query_index] = look_of(self._frame.rgb, points)
        return self._looks[query_index]


@dataclass(frozen=True, eq=False)
class SearchRequest:
    """What to look for in which frame.

    Attributes:
        snapshot: The frame.
        wanted: Indices of the queries to look for.
        queries: All queries of the episode.
        tracked_px: Of every query, its points that are tracked in the snapshot.
    """

    snapshot: CameraFrame
    wanted: tuple[int, ...]
    queries: tuple[str, ...]
    tracked_px: Mapping[int, Float[np.ndarray, "k 2"]]


def look_for(
    extractor: KeypointExtractor, looks: EpisodeLooks, request: SearchRequest, config: RedetectionConfig
) -> Found:
    """Look for objects in the snapshot; what is not the same thing as at the start is refused."""
    found: dict[int, ObjectLook] = {}
    refused: dict[int, str] = {}
    for index in request.wanted:
        try:
            then = looks.of(index)
            points = extractor.extract_object(
                request.snapshot, request.queries[index], len(then.points.xy_px)
            )
            now = look_of(request.snapshot.rgb, points)
            others = {request.queries[q]: xy for q, xy in request.tracked_px.items() if q != index}
            why = refusal(then, now, config, request.tracked_px[index], others)
        except GlueError as error:
            refused[index] = str(error)
            continue
        if why is None:
            found[index] = now
        else:
            refused[index] = f"query {request.queries[index]!r} finds something else: {why}"
    for a in found:
        for b in found:
            if a < b and overlap(found[a].points.mask, found[b].points.mask):
                refused[a] = refused[b] = (
                    f"queries {request.queries[a]!r} and {request.queries[b]!r} find one thing"
                )
    xy_px = {
        q: now.points.xy_px[match(looks.of(q).points.features, now.points.features)]
        for q, now in found.items()
        if q not in refused
    }
    return Found(xy_px, refused)


class Search:
    """One search under way. `add` and the rest are called by the pipeline's thread, `run` by the worker's."""

    def __init__(self, request: SearchRequest, look: Callable[[SearchRequest], Found]) -> None:
        self.request = request
        self._look = look
        self._lock = threading.Lock()
        self._waiting: list[UInt8[np.ndarray, "height width"]] = []
        self._done = threading.Event()
        self._cancelled = threading.Event()
        self._carrier: PointCarrier | None = None
        self._found = Found({}, {})

    @property
    def stamp_ns(self) -> int:
        """Stamp of the snapshot."""
        return self.request.snapshot.stamp_ns

    @property
    def done(self) -> bool:
        """Whether it is done."""
        return self._done.is_set()

    def wait(self) -> None:
        """Return once it is done."""
        self._done.wait()

    def cancel(self) -> None:
        """Let it end as soon as may be; its result is not asked for any more."""
        self._cancelled.set()
        with self._lock:
            self._waiting.clear()

    def add(self, gray: UInt8[np.ndarray, "height width"]) -> None:
        """Take the next frame, as `gray_of` gives it."""
        with self._lock:
            if not self.done:
                self._waiting.append(gray)
                return
        if self._carrier is not None:
            self._carrier.advance(gray)

    def result(
        self, frame: CameraFrame, config: RedetectionConfig
    ) -> tuple[dict[int, tuple[np.ndarray, np.ndarray]], dict[int, str]]:
        """Return per query its points in `frame`, the last one added, and which arrived; and per query why not."""
        arrived: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        refused = dict(self._found.refused)
        if self._carrier is None:
            return arrived, refused
        xy_px, ok = self._carrier.arrived(frame)
        begin = 0
        for query, points in self._found.xy_px.items():
            part = slice(begin, begin + len(points))
            begin += len(points)
            if ok[part].mean() >= config.min_carried_share:
                arrived[query] = (xy_px[part], ok[part])
            else:
                refused[query] = (
                    f"query {self.request.queries[query]!r}: it went out of sight while it was looked for"
                )
        return arrived, refused

    def run(self) -> None:
        """Search, then catch up. Never raises."""
        try:
            if not self._cancelled.is_set():
                self._found = self._look(self.request)
                self._carry()
        except Exception as error:  # a back-end may fail in any way; the stream goes on
            self._carrier = None
            text = f"the search failed: {type(error).__name__}: {error}"
            self._found = Found({}, dict.fromkeys(self.request.wanted, text))
        finally:
            with self._lock:
                self._waiting.clear()
                self._done.set()

    def _carry(self) -> None:
        xy_px = list(self._found.xy_px.values())
        if not xy_px:
            return
        owner = np.repeat(np.arange(len(xy_px)), [len(points) for points in xy_px])
        carrier = PointCarrier(self.request.snapshot, np.concatenate(xy_px), owner)
        while not self._cancelled.is_set():
            with self._lock:
                batch, self._waiting = self._waiting, []
                if not batch:
                    self._carrier = carrier
                    self._done.set()
                    return
            for gray in batch:
                carrier.advance(gray)


class SearchWorker:
    """Runs searches one after the other, each in a thread that ends with it. Lives as long as the pipeline."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def begin(self, search: Search) -> None:
        """Run `search` as soon as the one before has ended; returns at once."""
        before = self._thread

        def work() -> None:
            if before is not None:
                before.join()
            search.run()

        self._thread = threading.Thread(target=work, name="redetection", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the thread to end, but not for ever: a back-end that hangs is left behind."""
        if self._thread is not None:
            self._thread.join(_JOIN_TIMEOUT_S)
            self._thread = None
