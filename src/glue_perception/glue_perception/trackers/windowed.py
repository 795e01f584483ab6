"""A tracker for every frame from a network that answers once per window."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glue_perception.errors import InvalidValueError, NotReadyError
from glue_perception.trackers.flow_carry import FlowCarry
from glue_perception.trackers.frame_history import FrameHistory, PastFrame
from glue_perception.trackers.window_network import WindowAnswer, WindowNetwork, WindowQueries
from glue_perception.trackers.window_runner import BackgroundRunner, InlineRunner, WindowJob, WindowRunner
from glue_perception.trackers.windowed_config import WindowedTrackerConfig
from glue_perception.types import CameraFrame, Keypoints, PointTracks

LOG = logging.getLogger(__name__)

_MIN_HISTORY = 32
"""Frames kept at least: one second at 30 Hz; a slower network gets, and flow bridges, thinned frames."""

_CATCH_UP_STEPS = 12
"""Most steps of flow from a late answer to the present frame; more would cost the update a camera's period."""


class WindowedTracker:
    """Follows keypoints with a network on windows; between its answers optical flow carries them on.

    Every update carries each point one frame further. When the network has answered for an earlier frame, a carried
    point that agreed with it there is moved over by the difference; any other is carried from the network's answer
    through the frames since. A point is visible if the network saw it in the newest frame it has answered for and
    flow has held it ever since. Its confidence is visibility times confidence of the network, and falls with what
    flow loses on the way forward and back.

    `PointTracks.result_age_ns` is the time from the newest frame the network has answered for to the present one;
    until its first answer that is the frame of `start`, whose keypoints are given. Carrying does not make it younger.

    A network that runs in the background and cannot keep up is given evenly chosen frames, the newest among them.
    If it raises or answers NaN, nothing is visible until it answers again: `last_error` says why, it begins anew from
    the points that flow still holds, and those that it does not hold stay hidden until `replace`.

    One thread; in the background the network has another. Memory does not grow with the episode. Without background
    the same frames give the same answers bit for bit (as far as the network does). `start` resets everything.

    Args:
        network: Follows the points.
        config: Limits.
    """

    def __init__(self, network: WindowNetwork, config: WindowedTrackerConfig) -> None:
        self._network, self._config = network, config
        self._runner: WindowRunner = BackgroundRunner() if config.background else InlineRunner()
        self._episode: _Episode | None = None

    @property
    def last_error(self) -> str | None:
        """What the network last failed with in this episode, or None."""
        return None if self._episode is None else self._episode.last_error

    def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
        """Begin an episode with `keypoints` in `frame`; all are visible there by definition.

        Raises:
            InvalidValueError: a keypoint lies outside the image.
        """
        self._episode = None
        _check_inside(keypoints.xy_px, frame)
        self._episode = _Episode(self._network, self._runner, self._config, frame, keypoints)
        return self._episode.tracks()

    def update(self, frame: CameraFrame) -> PointTracks:
        """Return where the points are in `frame`. Never raises because of the network.

        Raises:
            NotReadyError: `start` was not called.
            InvalidValueError: the resolution is not that of `start`'s frame.
        """
        return self._running().advance(frame)

    def replace(
        self, frame: CameraFrame, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> None:
        """From now on the points `index` are those at `xy_px` in `frame`. The other points keep their places.

        They are carried to the newest frame by flow and given to the network in its next window, as they look there.
        A point that flow cannot carry there is hidden until it is replaced again.

        Args:
            frame: The frame of the last update, or one of those some frames before.
            index: Which points, as numbered by the keypoints of `start`; each at most once.
            xy_px: Their places in `frame`.

        Raises:
            NotReadyError: `start` was not called.
            InvalidValueError: an index is unknown or given twice, a place is outside the image, or the frame is newer
                than the last one or of another resolution.
        """
        self._running().replace(frame, np.asarray(index), np.asarray(xy_px, float))

    def _running(self) -> _Episode:
        if self._episode is None:
            raise NotReadyError("the tracker has no keypoints yet; call start with the episode's first frame")
        return self._episode


@dataclass(frozen=True, eq=False)
class _Window:
    """A window that the network works on, and what was known of its newest frame when it was sent.

    Attributes:
        frames: The window, oldest first.
        xy_px: Places in the newest frame as carried.
        held: Which of those flow held.
        drift_px: How far flow may have drifted there.
        begun: Points that begin in the newest frame: what the network answers for them is what it was told.
    """

    frames: tuple[PastFrame, ...]
    xy_px: Float[np.ndarray, "n 2"]
    held: Bool[np.ndarray, "n"]
    drift_px: Float[np.ndarray, "n"]
    begun: Bool[np.ndarray, "n"]

    @property
    def newest(self) -> PastFrame:
        return self.frames[-1]


class _Episode:
    """What one episode accumulates.

    `_held`: points that the network saw at its last answer and flow has carried since. `_lost`: points in whose name
    the network follows nothing, or something else. `_to_begin`: replaced ones that it has to be told of.
    """

    def __init__(
        self,
        network: WindowNetwork,
        runner: WindowRunner,
        config: WindowedTrackerConfig,
        frame: CameraFrame,
        keypoints: Keypoints,
    ) -> None:
        self._network, self._runner, self._config = network, runner, config
        self._shape, n = frame.rgb.shape, len(keypoints)
        self._carry = FlowCarry(
            frame.width_px, frame.height_px, config.max_round_trip_px, config.max_residual
        )
        self._xy = keypoints.xy_px.copy()
        self._held, self._lost, self._to_begin = np.ones(n, bool), np.zeros(n, bool), np.zeros(n, bool)
        self._score, self._drift_px = np.ones(n), np.zeros(n)
        self._answered_ns = frame.stamp_ns
        self._blind = False
        self.last_error: str | None = None
        self._window: _Window | None = None
        self._begin_at(PastFrame(frame))
        self._ask()

    def _begin_at(self, first: PastFrame) -> None:
        """Let the network begin anew in a frame, with all points where they are in it."""
        self._history = FrameHistory(first, max(_MIN_HISTORY, 2 * self._network.window_frames + 2))
        self._first_xy = self._xy.copy()
        self._repeated: tuple[PastFrame, ...] | None = None

    def tracks(self) -> PointTracks:
        now_ns = self._history.newest.stamp_ns
        visible = self._held & (not self._blind)
        trust = np.exp(-self._drift_px / (2.0 * self._carry.scale))
        confidence = np.where(visible, self._score * trust, 0.0)
        return PointTracks(now_ns, self._xy, visible, confidence, now_ns - self._answered_ns)

    def advance(self, frame: CameraFrame) -> PointTracks:
        self._check_size(frame)
        here = PastFrame(frame)
        self._carry_on(np.flatnonzero(self._held), (self._history.newest, here), self._xy, self._drift_px)
        self._history.append(here)
        self._hear()
        self._ask()
        return self.tracks()

    def replace(
        self, frame: CameraFrame, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> None:
        self._check_size(frame)
        n, newest_ns = len(self._xy), self._history.newest.stamp_ns
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer) or xy_px.shape != (len(index), 2):
            raise InvalidValueError(
                f"replace takes k whole indices and k x 2 places, not shapes {index.shape} and {xy_px.shape}"
            )
        if len(np.unique(index)) != len(index) or np.any((index < 0) | (index >= n)):
            raise InvalidValueError(
                f"replace takes each index of 0..{n - 1} at most once, not {index.tolist()}"
            )
        _check_inside(xy_px, frame)
        if frame.stamp_ns > newest_ns:
            raise InvalidValueError(
                f"the frame of {frame.stamp_ns} ns is newer than the last update's of {newest_ns} ns; update first"
            )
        places, drift_px = self._xy.copy(), np.zeros(n)
        places[index] = xy_px
        self._held[index], self._lost[index], self._to_begin[index] = True, True, True
        self._score[index] = 1.0
        self._carry_on(index, (PastFrame(frame), *self._history.since(frame.stamp_ns)), places, drift_px)

    def _carry_on(
        self,
        index: Int[np.ndarray, "k"],
        frames: tuple[PastFrame, ...],
        xy_px: Float[np.ndarray, "n 2"],
        drift_px: Float[np.ndarray, "n"],
    ) -> None:
        """Carry points from the first of some frames, where they are at `xy_px`, to the last, the present one."""
        if not len(index):
            return
        carried = self._carry.chain([frame.gray for frame in frames], xy_px[index])
        self._xy[index], self._held[index] = carried.xy_px, carried.held
        self._drift_px[index] = drift_px[index] + carried.drift_px

    def _ask(self) -> None:
        """Give the network its next window if it is free and enough new frames have come."""
        frames = self._next_frames() if self._runner.idle else None
        if frames is None:
            return
        is_first, newest = self._repeated is None, frames[-1] is self._history.newest
        begun = self._to_begin & self._held & newest
        queries = self._queries(is_first, begun, len(frames) - 1)
        if newest:
            # Whoever flow has lost on its way here stays lost until replaced again.
            self._to_begin[:] = False
            self._lost &= ~begun
        self._window = _Window(frames, self._xy.copy(), self._held & newest, self._drift_px.copy(), begun)
        overlap = self._network.window_frames - self._network.step_frames
        self._repeated = frames[len(frames) - overlap :]
        self._history.cut(frames[-1])
        self._runner.submit(_job(self._network, len(self._xy) if is_first else None, frames, queries))
        self._hear()

    def _next_frames(self) -> tuple[PastFrame, ...] | None:
        if self._repeated is None:
            count = self._network.window_frames
            return self._history.spread(count) if len(self._history) >= count else None
        count = self._network.step_frames + 1
        if len(self._history) < count:
            return None
        return (*self._repeated, *self._history.spread(count)[1:])

    def _queries(self, is_first: bool, begun: Bool[np.ndarray, "n"], last: int) -> WindowQueries:
        at_first = is_first & ~begun
        index = np.flatnonzero(at_first | begun)
        xy = np.where(begun[:, None], self._xy, self._first_xy)
        return WindowQueries(index, np.where(begun, last, 0)[index], xy[index])

    def _hear(self) -> None:
        """Take the network's answer if it has come; one that this episode did not ask for is the last one's."""
        outcome = self._runner.take()
        if outcome is None or self._window is None:
            return
        window, self._window = self._window, None
        if isinstance(outcome, Exception):
            self._fail(f"{type(outcome).__name__}: {outcome}")
        elif len(outcome.xy_px) != len(self._xy):
            self._fail(f"the network answered {len(outcome.xy_px)} points for {len(self._xy)}")
        else:
            self._merge(window, outcome)

    def _fail(self, text: str) -> None:
        if self.last_error is None:
            LOG.warning("the tracker's network failed, no point is visible until it answers again: %s", text)
        self.last_error = text
        self._blind = True
        self._lost = ~self._held
        self._to_begin[:] = False
        self._begin_at(self._history.newest)

    def _merge(self, window: _Window, answer: WindowAnswer) -> None:
        self._answered_ns, self._blind = window.newest.stamp_ns, False
        score = answer.visibility * answer.confidence
        xy = np.where(window.begun[:, None], window.xy_px, answer.xy_px)
        score = np.where(window.begun, 1.0, score)
        seen = (score >= self._config.min_visible_score) & self._carry.inside(xy)
        shift = xy - window.xy_px
        near = np.linalg.norm(shift, axis=1) <= self._config.max_correction_px * self._carry.scale
        agrees = ~self._lost & seen & near & window.held & self._held
        anew = np.flatnonzero(~self._lost & seen & ~agrees)
        hidden = ~self._lost & ~seen
        self._score = np.where(self._lost, self._score, score)
        self._xy = np.where(agrees[:, None], self._xy + shift, self._xy)
        self._xy = np.where(hidden[:, None], xy, self._xy)
        self._held = self._held & ~hidden & self._carry.inside(self._xy)
        self._drift_px = np.where(agrees, self._drift_px - window.drift_px, self._drift_px)
        between = self._history.spread(min(len(self._history), _CATCH_UP_STEPS + 1))
        self._carry_on(anew, between, xy, np.zeros(len(xy)))

    def _check_size(self, frame: CameraFrame) -> None:
        if frame.rgb.shape != self._shape:
            raise InvalidValueError(
                f"the frame is {frame.width_px} x {frame.height_px} px, but the episode began with "
                f"{self._shape[1]} x {self._shape[0]} px; start again after a change of resolution"
            )


def _job(
    network: WindowNetwork, begin_points: int | None, frames: tuple[PastFrame, ...], queries: WindowQueries
) -> WindowJob:
    """Return the call of the network; it holds nothing of the episode, whose thread may go on meanwhile."""
    images = [frame.frame.rgb for frame in frames]

    def job() -> WindowAnswer:
        if begin_points is not None:
            network.begin(begin_points)
        return network.track(images, queries)

    return job


def _check_inside(xy_px: Float[np.ndarray, "n 2"], frame: CameraFrame) -> None:
    size = np.array([frame.width_px, frame.height_px])
    outside = ~np.all((xy_px >= -0.5) & (xy_px < size - 0.5), axis=1)
    if outside.any():
        raise InvalidValueError(
            f"point at {xy_px[outside][0].tolist()} lies outside the image of {frame.width_px} x {frame.height_px} px"
        )
