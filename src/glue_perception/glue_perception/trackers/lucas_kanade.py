"""The embedded profile's tracker: pyramidal Lucas-Kanade that knows when it does not see a point. No weights."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.errors import InvalidValueError, NotReadyError
from glue_perception.trackers.lucas_kanade_config import LucasKanadeConfig
from glue_perception.trackers.object_motion import NO_MOTION, ObjectMotion, fit_motion
from glue_perception.trackers.optical_flow import PyramidalFlow, window_texture
from glue_perception.trackers.patch_template import PatchSampler, PatchTemplates
from glue_perception.types import CameraFrame, Keypoints, PointTracks


@dataclass(frozen=True, eq=False)
class _Past:
    """One earlier frame's answer, kept so that a point can be put back where it was before it was swept along."""

    xy_px: Float[np.ndarray, "n 2"]
    similarity: Float[np.ndarray, "n"]
    shift_px: Float[np.ndarray, "n 2"]


@dataclass(frozen=True, eq=False)
class _Found:
    """What is seen at some places: how like the first and how like any template it is, and the patches."""

    xy_px: Float[np.ndarray, "n 2"]
    first_similarity: Float[np.ndarray, "n"]
    similarity: Float[np.ndarray, "n"]
    patch: PatchTemplates

    def replaced(self, other: _Found, where: Bool[np.ndarray, "n"]) -> _Found:
        return _Found(
            np.where(where[:, None], other.xy_px, self.xy_px),
            np.where(where, other.first_similarity, self.first_similarity),
            np.where(where, other.similarity, self.similarity),
            self.patch.blended(other.patch, where.astype(float)),
        )


_PAST_FRAMES = 4
_LAYOUT_MARGIN = 0.05
_ANCHOR_SIMILARITY = 0.85
_ADAPT_ABOVE = 0.8
_RIVAL_MARGIN = 0.02
_MIN_WITNESSES = 3
_UNEXPLAINED_PX = 1e3
_MIN_TEXTURE = 2.0
"""Grey levels per px across the weakest direction. Printed cloth has 4 and more, a painted face 1: flow on it
follows noise, or whatever textured thing comes near."""


class LucasKanadeTracker:
    """Follows keypoints; a hidden point stays where its object goes and comes back when it is seen again.

    Each frame: (1) flow from the last frame, checked by tracking back; (2) the common motion of each object's
    points; who disagrees takes the common motion; (3) alignment with the FIRST frame around that place, so that
    nothing drifts and hidden points are found again; (4) the patch there must look like the first one, or like a
    slowly adapting second one, or the point is hidden. An arm that passes over a point fails (4), and the point
    goes back to where it was before the arm took it along.

    One thread. Deterministic bit for bit. `start` resets everything.
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
        inside = _inside(keypoints.xy_px, frame)
        if not inside.all():
            raise InvalidValueError(
                f"keypoint at {keypoints.xy_px[~inside][0].tolist()} lies outside the image of "
                f"{frame.width_px} x {frame.height_px} px"
            )
        self._state = _State(self._config, frame, keypoints)
        n = len(keypoints)
        return PointTracks(frame.stamp_ns, keypoints.xy_px, np.ones(n, bool), np.ones(n))

    def update(self, frame: CameraFrame) -> PointTracks:
        """Return where the points are in `frame`.

        Raises:
            NotReadyError: `start` was not called.
            InvalidValueError: the resolution is not that of `start`'s frame.
        """
        if self._state is None:
            raise NotReadyError("the tracker has no keypoints yet; call start with the episode's first frame")
        return self._state.advance(frame)


class _State:
    """What one episode accumulates."""

    def __init__(self, config: LucasKanadeConfig, frame: CameraFrame, keypoints: Keypoints) -> None:
        self._config = config
        self._shape = frame.rgb.shape
        self._scale = min(frame.rgb.shape[:2]) / 480.0
        side = max(5, round(config.window_px * self._scale) | 1)
        self._window_px = side
        self._flow = PyramidalFlow(frame.width_px, frame.height_px, side)
        self._sampler = PatchSampler(max(1.0, self._scale))
        self._first_gray = self._last_gray = _gray(frame)
        self._first_xy = keypoints.xy_px.copy()
        self._xy = keypoints.xy_px.copy()
        self._anchor_xy = keypoints.xy_px.copy()
        self._visible = np.ones(len(keypoints), bool)
        self._textured = self._find_textured(keypoints)
        self._objects = [np.flatnonzero(keypoints.query_index == q) for q in np.unique(keypoints.query_index)]
        self._first_patch = self._adapted_patch = self._sampler.sample(frame.rgb, self._xy)
        self._past: deque[_Past] = deque(maxlen=_PAST_FRAMES)
        self._remember(np.ones(len(keypoints)), np.zeros_like(self._xy))

    def _find_textured(self, keypoints: Keypoints) -> Bool[np.ndarray, "n"]:
        """Return which points flow can be measured at; on objects that have fewer than three, all of them."""
        textured = window_texture(self._first_gray, keypoints.xy_px, self._window_px) >= _MIN_TEXTURE
        for query in np.unique(keypoints.query_index):
            members = keypoints.query_index == query
            if np.count_nonzero(textured & members) < _MIN_WITNESSES:
                textured |= members
        return textured

    def advance(self, frame: CameraFrame) -> PointTracks:
        if frame.rgb.shape != self._shape:
            raise InvalidValueError(
                f"the frame is {frame.width_px} x {frame.height_px} px, but the episode began with "
                f"{self._shape[1]} x {self._shape[0]} px; start again after a change of resolution"
            )
        gray = _gray(frame)
        flow_xy, round_trip_px = self._follow(gray)
        seen = self._visible & (round_trip_px <= self._config.max_round_trip_px * self._scale)
        common_xy = self._at_rest_unless_better(frame, self._common_motion(flow_xy, seen))
        agrees = seen & self._textured & self._plausible(flow_xy, common_xy)
        place = np.where(agrees[:, None], flow_xy, common_xy)
        found = self._return_to_anchor(frame, gray, self._align(frame, gray, place))
        place, similarity, patch = found.xy_px, found.similarity, found.patch
        trusted = agrees | (self._visible & ~self._textured)
        least = np.where(trusted, self._config.hide_similarity, self._config.show_similarity)
        visible = _inside(place, frame) & (similarity >= least)
        shift = common_xy - self._xy
        self._xy = np.where(visible[:, None], place, self._hidden_place(common_xy, visible, shift))
        self._visible = visible
        self._adapt(patch, np.where(visible & trusted, similarity, 0.0))
        self._set_anchors(found.first_similarity)
        self._remember(np.where(visible, similarity, 0.0), shift)
        self._last_gray = gray
        trust = np.where(agrees, np.exp(-round_trip_px / (2.0 * self._scale)), 1.0)
        return PointTracks(frame.stamp_ns, self._xy, visible, np.clip(similarity * trust, 0.0, 1.0))

    def _follow(
        self, gray: UInt8[np.ndarray, "height width"]
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
        """Return flow from the last frame and how far from its start each point ends when tracked back."""
        levels = self._config.levels
        forward, residual = self._flow.track(self._last_gray, gray, self._xy, self._xy, levels)
        back, residual_back = self._flow.track(gray, self._last_gray, forward, forward, levels)
        error = np.linalg.norm(back - self._xy, axis=1)
        explained = (residual <= self._config.max_residual) & np.isfinite(residual_back)
        return forward, np.where(explained, error, _UNEXPLAINED_PX)

    def _common_motion(
        self, flow_xy: Float[np.ndarray, "n 2"], seen: Bool[np.ndarray, "n"]
    ) -> Float[np.ndarray, "n 2"]:
        """Return every point moved with its object; objects that are not seen stand still."""
        moved = self._xy.copy()
        for members in self._objects:
            witnesses = members[seen[members] & self._textured[members]]
            moved[members] = self._motion_of(witnesses, len(members), flow_xy).apply(self._xy[members])
        return moved

    def _motion_of(
        self, witnesses: Int[np.ndarray, "k"], num_points: int, flow_xy: Float[np.ndarray, "n 2"]
    ) -> ObjectMotion:
        # Fewer than three witnesses, or a fifth of the object, may all be on the arm that covers the rest.
        if len(witnesses) < min(num_points, max(_MIN_WITNESSES, num_points // 5)):
            return NO_MOTION
        before, after = self._xy[witnesses], flow_xy[witnesses]
        if 2 * len(witnesses) < num_points:
            # A rotation seen on one end of the object swings the hidden other end about.
            return ObjectMotion(np.eye(2), np.median(after - before, axis=0))
        return fit_motion(before, after, self._config.max_deviation_px * self._scale)

    def _plausible(
        self, flow_xy: Float[np.ndarray, "n 2"], common_xy: Float[np.ndarray, "n 2"]
    ) -> Bool[np.ndarray, "n"]:
        allowed = self._config.max_deviation_px * self._scale + 0.5 * np.linalg.norm(
            common_xy - self._xy, axis=1
        )
        near: np.ndarray = np.linalg.norm(flow_xy - common_xy, axis=1) <= allowed
        return near

    def _at_rest_unless_better(
        self, frame: CameraFrame, common_xy: Float[np.ndarray, "n 2"]
    ) -> Float[np.ndarray, "n 2"]:
        """Return the common motion only for objects that look more like themselves there than where they were.

        An arm that slides over a small object takes the flow of most of its points along. The points it has not
        reached yet still match where they were, and those are the better half.
        """
        now = self._look(frame, common_xy).similarity
        then = self._look(frame, self._xy).similarity
        result = common_xy.copy()
        for members in self._objects:
            better_half = (len(members) + 1) // 2
            if np.sort(then[members])[-better_half:].sum() >= np.sort(now[members])[-better_half:].sum():
                result[members] = self._xy[members]
        return result

    def _return_to_anchor(
        self, frame: CameraFrame, gray: UInt8[np.ndarray, "height width"], here: _Found
    ) -> _Found:
        """Return `here`, but with points put back where they look as good and are more likely to be.

        A hidden point is looked for where its object last stood in full view. A visible one that has left its
        object's layout (a finger dragged it over a cap of one colour) goes back to its place in the layout.
        """
        layout_xy = self._layout(here.xy_px)
        astray = self._astray(here.xy_px, layout_xy)
        if not astray.any():
            return here
        there = self._align(frame, gray, layout_xy)
        margin = np.where(self._visible, -_LAYOUT_MARGIN, 0.0)
        good = there.similarity >= self._config.show_similarity
        return here.replaced(there, astray & good & (there.similarity > here.similarity + margin))

    def _layout(self, xy_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Return each point's place at rest; for visible ones moved as far as most visible points have."""
        layout_xy = self._anchor_xy.copy()
        for members in self._objects:
            seen = members[self._visible[members]]
            if len(seen) >= _MIN_WITNESSES:
                layout_xy[seen] += np.median(xy_px[seen] - self._anchor_xy[seen], axis=0)
        return layout_xy

    def _align(
        self, frame: CameraFrame, gray: UInt8[np.ndarray, "height width"], place: Float[np.ndarray, "n 2"]
    ) -> _Found:
        """Return the place that looks most like the first frame near `place`, its similarity and its patch."""
        aligned, residual = self._flow.track(
            self._first_gray, gray, self._first_xy, place, min(1, self._config.levels)
        )
        reach = np.where(self._visible, self._config.max_deviation_px, self._config.search_px) * self._scale
        ok = np.isfinite(residual) & self._textured & (np.linalg.norm(aligned - place, axis=1) <= reach)
        aligned = np.where(ok[:, None], aligned, place)
        here, there = self._look(frame, place), self._look(frame, aligned)
        least = np.maximum(here.first_similarity, self._config.hide_similarity) - _RIVAL_MARGIN
        return here.replaced(there, ok & (there.first_similarity >= least))

    def _look(self, frame: CameraFrame, xy_px: Float[np.ndarray, "n 2"]) -> _Found:
        patch = self._sampler.sample(frame.rgb, xy_px)
        first = self._sampler.similarity(patch, self._first_patch)
        return _Found(
            xy_px, first, np.maximum(first, self._sampler.similarity(patch, self._adapted_patch)), patch
        )

    def _hidden_place(
        self,
        common_xy: Float[np.ndarray, "n 2"],
        visible: Bool[np.ndarray, "n"],
        shift: Float[np.ndarray, "n 2"],
    ) -> Float[np.ndarray, "n 2"]:
        """Return where hidden points are kept: with their object; newly hidden ones are first put back."""
        hidden = common_xy.copy()
        for index in np.flatnonzero(self._visible & ~visible):
            since = shift[index].copy()
            best, best_similarity = common_xy[index], -1.0
            for past in reversed(self._past):
                # An older place wins unless it was clearly worse: the occluder's edge bends the last few.
                if past.similarity[index] >= best_similarity - _RIVAL_MARGIN:
                    best, best_similarity = past.xy_px[index] + since, past.similarity[index]
                since += past.shift_px[index]
            hidden[index] = best
        return hidden

    def _adapt(self, patch: PatchTemplates, similarity: Float[np.ndarray, "n"]) -> None:
        weight = np.where(similarity >= _ADAPT_ABOVE, self._config.adaptation, 0.0)
        self._adapted_patch = self._adapted_patch.blended(patch, weight)

    def _set_anchors(self, first_similarity: Float[np.ndarray, "n"]) -> None:
        """Take an object's place now as its place at rest if all of it is in clear view and in its layout.

        An arm that is just coming into a window has already begun to bend the flow there.
        """
        in_layout = ~self._astray(self._xy, self._layout(self._xy))
        clear = self._visible & in_layout & (first_similarity >= _ANCHOR_SIMILARITY)
        for members in self._objects:
            if clear[members].all():
                self._anchor_xy[members] = self._xy[members]

    def _astray(
        self, xy_px: Float[np.ndarray, "n 2"], layout_xy: Float[np.ndarray, "n 2"]
    ) -> Bool[np.ndarray, "n"]:
        astray: np.ndarray = (
            np.linalg.norm(xy_px - layout_xy, axis=1) > self._config.max_deviation_px * self._scale
        )
        return astray

    def _remember(self, similarity: Float[np.ndarray, "n"], shift: Float[np.ndarray, "n 2"]) -> None:
        self._past.append(_Past(self._xy.copy(), similarity, shift))


def _inside(xy_px: Float[np.ndarray, "n 2"], frame: CameraFrame) -> Bool[np.ndarray, "n"]:
    inside: np.ndarray = np.all(
        (xy_px >= -0.5) & (xy_px < np.array([frame.width_px, frame.height_px]) - 0.5), axis=1
    )
    return inside


def _gray(frame: CameraFrame) -> UInt8[np.ndarray, "height width"]:
    gray: np.ndarray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
    return gray
