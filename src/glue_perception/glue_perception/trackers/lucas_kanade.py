"""The embedded profile's tracker: pyramidal Lucas-Kanade that knows when it does not see a point. No weights."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Int

from glue_perception.errors import InvalidValueError, NotReadyError
from glue_perception.trackers.camera_motion import CameraMotion
from glue_perception.trackers.carried_points import CarriedPoints
from glue_perception.trackers.hidden_points import HiddenPoints
from glue_perception.trackers.lucas_kanade_config import LucasKanadeConfig
from glue_perception.trackers.moving_points import Flags, Gray, Moved, MovingPoints, Points, Rgb, inside
from glue_perception.trackers.patch_template import PatchSampler, uneven_light
from glue_perception.trackers.resting_place import RestingPlaces, RestView
from glue_perception.types import CameraFrame, Keypoints, PointTracks

_REST_BONUS = 0.1
_REST_RESET = 0.15
_DEPARTED_PX = 1.5
_REST_PULL = 0.03
_REST_NEAR_PX = 3.0
_AWAY_PX = 5.0
_STILL_PX = 0.35
_STILL_FRAMES = 15
_LEAST_FIRST = 0.25
_LEAST_CONTEXT = 0.33
_SETTLE_FIRST = 0.5
_ADAPT_ABOVE = 0.8
_JUMP_PX = 2.0
_SECRET_FRAMES = 90
_MIN_WITNESSES = 3


class LucasKanadeTracker:
    """Follows keypoints; a hidden point stays where its object is and comes back when it is seen again.

    For every point two hypotheses are kept. It rests: it is where it last lay still, moved along with the camera's
    own drift, and both its patch and its surroundings look as they did. It moves: flow takes it along, checked by
    tracking back, by the common motion of its object's points and by alignment with the first frame. Resting wins
    unless moving explains the image better, so that nothing slides along an edge or rides on an arm that passes;
    where neither looks like the point, it is hidden.

    One thread. Deterministic bit for bit. `start` resets everything. OpenCV's code is under the Apache-2.0 licence.
    """

    def __init__(self, config: LucasKanadeConfig | None = None) -> None:
        self._config = config or LucasKanadeConfig()
        self._state: _State | None = None

    def start(self, frame: CameraFrame, keypoints: Keypoints) -> PointTracks:
        """Begin an episode with `keypoints` in `frame`; all are visible there by definition.

        Raises:
            InvalidValueError: a keypoint lies outside the image.
        """
        self._state = None
        _check_inside(keypoints.xy_px, frame)
        self._state = _State(self._config, frame, keypoints)
        n = len(keypoints)
        return PointTracks(frame.stamp_ns, keypoints.xy_px, np.ones(n, bool), np.ones(n))

    def update(self, frame: CameraFrame) -> PointTracks:
        """Return where the points are in `frame`.

        Raises:
            NotReadyError: `start` was not called.
            InvalidValueError: the resolution is not that of `start`'s frame.
        """
        return self._running(frame).advance(frame)

    def replace(
        self, frame: CameraFrame, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> None:
        """Take the points `index` for those at `xy_px` in `frame` from now on, e.g. after they were detected again.

        Args:
            frame: May be some frames older than the last one; flow carries the points to that.
            index: Which points.
            xy_px: Where they are in `frame`.

        Raises:
            NotReadyError: `start` was not called.
            InvalidValueError: a place outside the image, or another resolution.
        """
        state = self._running(frame)
        _check_inside(xy_px, frame)
        state.replace(frame, np.asarray(index), np.asarray(xy_px, float))

    def _running(self, frame: CameraFrame) -> _State:
        if self._state is None:
            raise NotReadyError("the tracker has no keypoints yet; call start with the episode's first frame")
        height, width = self._state.shape
        if frame.rgb.shape[:2] != (height, width):
            raise InvalidValueError(
                f"the frame is {frame.width_px} x {frame.height_px} px, but the episode began with "
                f"{width} x {height} px; start again after a change of resolution"
            )
        return self._state


class _State:
    """What one episode accumulates."""

    def __init__(self, config: LucasKanadeConfig, frame: CameraFrame, keypoints: Keypoints) -> None:
        self._config = config
        self.shape = frame.rgb.shape[:2]
        self._scale = min(self.shape) / 480.0
        spacing_px = max(1.0, self._scale)
        gray = _gray(frame)
        n, xy = len(keypoints), keypoints.xy_px
        self._objects = [np.flatnonzero(keypoints.query_index == q) for q in np.unique(keypoints.query_index)]
        self._sampler = PatchSampler(spacing_px)
        self._camera = CameraMotion(gray)
        self._moving = MovingPoints(config, frame.rgb, gray, xy, self._objects)
        self._rest = RestingPlaces(frame.rgb, xy, spacing_px)
        self._hidden = HiddenPoints(xy, self._scale)
        self._carried = CarriedPoints(gray, xy, self._objects, self._scale)
        self._xy = xy.copy()
        self._visible = np.ones(n, bool)
        self._borne_out_before = np.zeros(n, bool)
        self._still_frames, self._hidden_frames = np.zeros(n, int), np.zeros(n, int)

    def advance(self, frame: CameraFrame) -> PointTracks:
        gray = _gray(frame)
        self._camera.update(gray)
        rest = self._rest.look(frame.rgb, self._camera, self._moving.first_patch)
        if self._visible.all() and rest.is_clear.all():
            return self._stay(frame, gray, rest)
        moved = self._moving.move(frame.rgb, gray, self._rest.patch)
        moves = self._moves(frame, moved, rest)
        rests = rest.holds(self._visible)
        bonus = np.where(self._departed(moved, rest, moves), -_REST_BONUS, _REST_BONUS)
        rests &= ~moves | (rest.similarity + bonus >= moved.similarity)
        visible = rests | moves
        self._borne_out_before &= visible & ~rests
        xy = np.where(rests[:, None], rest.xy_px, moved.xy)
        step = self._object_steps(xy, visible & self._visible & moved.followed)
        kept = self._hidden.keep(self._xy, rest.xy_px, step, newly=self._visible & ~visible)
        xy = np.where(visible[:, None], xy, kept)
        self._learn(frame.rgb, rest, moved, rests, visible)
        self._go_on(frame.rgb, gray, rest, moved, rests, visible, xy)
        round_trip_px = np.where(rests, 0.0, moved.round_trip_px)
        similarity = np.where(rests, rest.similarity, moved.similarity)
        trust = np.exp(-round_trip_px / (2.0 * self._scale))
        confidence = np.clip(similarity * trust, 0.0, 1.0)
        # What is only guessed goes out, but nothing here starts from it.
        sureness = np.where(visible, np.maximum(confidence, 1e-6), 0.0)
        guessed = self._carried.update(gray, self._xy, sureness, self._camera)
        return PointTracks(
            frame.stamp_ns,
            guessed,
            visible,
            confidence,
            round_trip_px=round_trip_px,
            first_similarity=np.clip(
                np.where(rests, rest.first_similarity, moved.first_similarity), 0.0, 1.0
            ),
        )

    def _stay(self, frame: CameraFrame, gray: Gray, rest: RestView) -> PointTracks:
        """Answer while nothing happens, which is most of the time and costs a third of the work."""
        everything = np.ones(len(self._xy), bool)
        self._rest.adapt(rest, everything)
        self._moving.go_on(gray, rest.xy_px.copy(), everything)
        self._hidden.next_to_search(~everything)
        self._xy, self._visible = rest.xy_px, everything
        self._carried.rest(gray, rest.xy_px)
        self._borne_out_before[:] = False
        self._still_frames[:] = self._hidden_frames[:] = 0
        return PointTracks(
            frame.stamp_ns,
            self._xy,
            everything,
            np.clip(rest.similarity, 0.0, 1.0),
            round_trip_px=np.zeros(len(self._xy)),
            first_similarity=np.clip(rest.first_similarity, 0.0, 1.0),
        )

    def replace(
        self, frame: CameraFrame, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> None:
        place, carried = self._moving.replace(frame.rgb, _gray(frame), index, xy_px)
        self._rest.settle(index, frame.rgb, xy_px, self._camera.to_first(place))
        self._hidden.put(index, place)
        self._carried.put(index, place)
        self._xy = self._xy.copy()
        self._xy[index], self._visible[index] = place, carried
        self._still_frames[index] = 0
        self._borne_out_before[index] = True  # by whoever found them there

    def _moves(self, frame: CameraFrame, moved: Moved, rest: RestView) -> Flags:
        """Return which points can be believed to be where motion takes them."""
        config = self._config
        least = np.where(moved.followed, config.hide_similarity, config.show_similarity)
        looks = (moved.similarity >= least) & (moved.first_similarity >= _LEAST_FIRST)
        # Found again elsewhere than it was kept: that must be more than alike.
        jumped = ~moved.followed & (np.linalg.norm(moved.xy - self._xy, axis=1) > _JUMP_PX * self._scale)
        looks &= self._inside(moved.xy) & (~jumped | (moved.first_similarity >= config.return_similarity))
        from_rest = moved.xy - rest.xy_px
        distance_px = np.linalg.norm(from_rest, axis=1)
        context = self._rest.context_at(frame.rgb, moved.xy)
        its_own = (uneven_light(moved.patch, self._moving.first_patch) <= config.max_uneven_light) & (
            self._moving.texture >= config.min_texture
        )
        alone_but_sure = its_own & (context >= config.context_similarity)
        away = distance_px > _AWAY_PX * self._scale
        self._borne_out_before = self._borne_out(from_rest, looks)
        looks &= ~away | self._borne_out_before | alone_but_sure
        # Beside its resting place, where neither here nor there the surroundings are the point's own.
        crept = (distance_px <= _REST_NEAR_PX * self._scale) & ~its_own
        crept &= np.maximum(rest.context, context) < _LEAST_CONTEXT
        result: np.ndarray = looks & ~crept
        return result

    def _borne_out(self, from_rest: Points, looks: Flags) -> Flags:
        """Return which points have left their resting places together with at least two others of their object.

        Once borne out, a point stays so until it is hidden or rests again: its neighbours may come to rest first.
        """
        result: np.ndarray = self._borne_out_before & looks
        for members in self._objects:
            seen = members[looks[members]]
            apart = np.linalg.norm(from_rest[seen, None] - from_rest[None, seen], axis=2)
            # Perspective and turning spread the points of a thing that has been carried far.
            allowed = 4.0 * self._scale + 0.3 * np.linalg.norm(from_rest[seen], axis=1)
            result[seen] |= np.count_nonzero(apart <= allowed[:, None], axis=1) >= _MIN_WITNESSES
        return result

    def _departed(self, moved: Moved, rest: RestView, moves: Flags) -> Flags:
        """Return the points of objects that most of their points say have left their resting places.

        What one colour covers looks at rest as long as any part of the object is there.
        """
        result = np.zeros(len(moves), bool)
        for members in self._objects:
            seen = members[moves[members] & moved.followed[members]]
            if len(seen) < max(_MIN_WITNESSES, (len(members) + 1) // 2):
                continue
            from_rest = moved.xy[seen] - rest.xy_px[seen]
            common = np.median(from_rest, axis=0)
            near = np.linalg.norm(from_rest - common, axis=1) <= self._config.max_deviation_px * self._scale
            gone = np.linalg.norm(common) > _DEPARTED_PX * self._scale
            result[members] = gone and 2 * np.count_nonzero(near) > len(members)
        return result

    def _object_steps(self, xy: Points, witness: Flags) -> Points:
        """Return by how much each point's object has moved since the last frame; zero where that is not seen."""
        steps = np.zeros_like(xy)
        for members in self._objects:
            seen = members[witness[members]]
            if len(seen) >= max(1, min(2, len(members) - 1)):
                steps[members] = np.median(xy[seen] - self._xy[seen], axis=0)
        return steps

    def _learn(self, rgb: Rgb, rest: RestView, moved: Moved, rests: Flags, visible: Flags) -> None:
        """Let templates follow slow changes where that is safe, and take new resting places."""
        self._rest.adapt(rest, rests)
        carried = visible & ~rests & moved.followed
        clear = carried & (moved.similarity >= _ADAPT_ABOVE) & (moved.first_similarity >= _SETTLE_FIRST)
        self._moving.adapt(moved, clear)
        step_px = np.linalg.norm(moved.xy - self._moving.xy, axis=1)
        still = visible & ~rests & (step_px < _STILL_PX * self._scale)
        self._still_frames = np.where(still, self._still_frames + 1, 0)
        settled = np.flatnonzero(
            (self._still_frames >= _STILL_FRAMES) & (moved.first_similarity >= _SETTLE_FIRST)
        )
        place = moved.xy[settled]
        self._rest.settle(settled, rgb, place, self._camera.to_first(place))
        self._still_frames[settled] = 0

    def _go_on(
        self, rgb: Rgb, gray: Gray, rest: RestView, moved: Moved, rests: Flags, visible: Flags, xy: Points
    ) -> None:
        """Choose where the moving hypothesis of each point starts from in the next frame."""
        alike = moved.similarity >= self._config.hide_similarity
        # A motion that is not yet borne out is followed in secret for a while; it may be soon.
        secret = moved.followed & (self._hidden_frames < _SECRET_FRAMES)
        convincing = ~rests | (moved.similarity >= rest.similarity - _REST_RESET)
        believed = np.where(visible, convincing, secret)
        self._hidden_frames = np.where(visible, 0, self._hidden_frames + 1)
        believed &= alike & self._inside(moved.xy)
        # A drift that has not convinced fades; a motion outruns that.
        pulled = moved.xy + np.where(
            (rests & (moved.similarity <= rest.similarity))[:, None], _REST_PULL, 0.0
        ) * (rest.xy_px - moved.xy)
        start = np.where(believed[:, None], pulled, xy)
        hidden = self._hidden.next_to_search(~visible & ~believed)
        if hidden is not None:
            start[hidden] = self._hidden.search(
                hidden,
                rgb,
                xy[hidden],
                self._moving.first_patch.take(np.array([hidden])),
                self._sampler,
                self._config,
            )
        self._moving.go_on(gray, start, visible | believed)
        self._xy, self._visible = xy, visible

    def _inside(self, xy: Points) -> Flags:
        return inside(xy, self.shape[1], self.shape[0])


def _check_inside(xy: Points, frame: CameraFrame) -> None:
    outside = ~inside(xy, frame.width_px, frame.height_px)
    if outside.any():
        raise InvalidValueError(
            f"keypoint at {xy[outside][0].tolist()} lies outside the image of "
            f"{frame.width_px} x {frame.height_px} px"
        )


def _gray(frame: CameraFrame) -> Gray:
    gray: np.ndarray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
    return gray
