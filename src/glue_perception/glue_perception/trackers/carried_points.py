"""Where hidden points are if they went with what lies around them: a guess for points that cannot be seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.trackers.camera_motion import CameraMotion
from glue_perception.trackers.constellation import PROVEN_FRAMES, Constellation, Votes, agreed_place
from glue_perception.trackers.optical_flow import PyramidalFlow

Points = Float[np.ndarray, "n 2"]
Flags = Bool[np.ndarray, "n"]
Gray = UInt8[np.ndarray, "height width"]

_PAST_FRAMES = 24
_AS_SURE = 0.95
_WINDOW_PX = 13.0
_LEVELS = 3
_MAX_ROUND_TRIP_PX = 1.0
_MAX_RESIDUAL = 8.0
_RADIUS_PX = 32.0
_FEATURES = 24
_MIN_FEATURES = 8
_MAX_FEATURES_IN_ALL = 144
_BEGIN_PER_FRAME = 3
"""When an arm covers a whole object at once, its points are taken up in turn; the past is kept for that."""
_SPACING_PX = 5.0
_QUALITY = 0.02
_REFILL_FRAMES = 5
_LEAST_CORRELATION = 0.5
_LOOK_SIDE = 9
_FIXED_PX = 1.5
_LEFT_PX = 3.0
"""A feature so far from where it would rest has moved; less is flow's noise, or a junction that slides."""


@dataclass(frozen=True, eq=False)
class _Past:
    """A frame that was seen lately, with where points were and how sure that was (0 for hidden ones)."""

    gray: Gray
    xy: Points
    sureness: Float[np.ndarray, "n"]


class CarriedPoints:
    """Guesses where hidden points are carried, by the corners that lay around them while they were still seen.

    What lies around a point is its object, what holds it, and a background that stays. A hidden point whose
    neighbours have partly left has most likely left with them: those that moved vote for its place, each as if it
    were fixed to it, and the place that most of them agree on is the guess. It says nothing of whether the point is
    visible, and is nothing to act upon: a hand that lets go takes the guess along.

    One thread. Deterministic. Memory is bounded by the last 24 frames.

    Args:
        gray: The first frame.
        xy_px: The points in it.
        objects: Indices of the points of each object.
        scale: Rows of the image / 480.
    """

    def __init__(
        self, gray: Gray, xy_px: Points, objects: Sequence[Int[np.ndarray, "members"]], scale: float
    ) -> None:
        self._scale = scale
        self._size = np.array([gray.shape[1], gray.shape[0]])
        self._flow = PyramidalFlow(gray.shape[1], gray.shape[0], max(5, round(_WINDOW_PX * scale) | 1))
        self._object_of = np.zeros(len(xy_px), int)
        for number, members in enumerate(objects):
            self._object_of[members] = number
        self._past: deque[_Past] = deque([_Past(gray, xy_px.copy(), np.ones(len(xy_px)))], _PAST_FRAMES)
        self._groups: dict[int, tuple[Constellation, _Past]] = {}
        self._frames, self._wanted = 0, _FEATURES

    def update(
        self,
        gray: Gray,
        xy_px: Points,
        sureness: Float[np.ndarray, "n"],
        camera: CameraMotion,
    ) -> Points:
        """Return where the points are: as given if seen or never carried, otherwise where they are carried.

        Args:
            gray: This frame.
            xy_px: Where the tracker has the points: seen, or kept while hidden.
            sureness: 0..1 for points that are seen, 0 for hidden ones.
            camera: Up to date with this frame.
        """
        self._frames += 1
        hidden = np.flatnonzero(sureness <= 0.0)
        for index in self._groups.keys() - set(hidden.tolist()):
            del self._groups[index]
        self._follow(gray)
        self._wanted = max(_MIN_FEATURES, min(_FEATURES, _MAX_FEATURES_IN_ALL // max(1, len(hidden))))
        for index in [i for i in hidden.tolist() if i not in self._groups][:_BEGIN_PER_FRAME]:
            self._groups[index] = self._begin(index, gray, camera)
        result = xy_px.copy()
        for index, (group, past) in self._groups.items():
            fellows = self._fellows(past, index, sureness)
            left = np.linalg.norm(xy_px[fellows] - past.xy[fellows], axis=1) > _LEFT_PX * self._scale
            if 2 * np.count_nonzero(~left) > len(fellows):
                group.stay()
            else:
                self._elect(group, past, fellows[left], xy_px, camera)
            group.keep_near(2.0 * _RADIUS_PX * self._scale)
            group.prove(_FIXED_PX * self._scale)
            if (self._frames + index) % _REFILL_FRAMES == 0:
                self._refill(group, gray, camera)
            if group.carried:
                result[index] = np.clip(group.place, 0, self._size - 1)
        self._past.append(_Past(gray, xy_px.copy(), sureness.copy()))
        return result

    def rest(self, gray: Gray, xy_px: Points) -> None:
        """Take notice of a frame in which all points are seen beyond doubt."""
        self._groups.clear()
        self._past.append(_Past(gray, xy_px.copy(), np.ones(len(xy_px))))

    def put(self, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]) -> None:
        """Drop what is known of points that have been put elsewhere."""
        for number in index.tolist():
            self._groups.pop(number, None)
        for past in self._past:
            past.xy[index], past.sureness[index] = xy_px, 0.0

    def _begin(self, index: int, gray: Gray, camera: CameraMotion) -> tuple[Constellation, _Past]:
        """Return what lay around a point in the last frame in which it was as sure as it had been of late."""
        sureness = np.array([past.sureness[index] for past in self._past])
        good = np.flatnonzero((sureness > 0.0) & (sureness >= _AS_SURE * sureness.max()))
        when = int(good[-1]) if len(good) else len(self._past) - 1
        past, earlier = self._past[when], self._past[max(0, when - PROVEN_FRAMES)]
        group = Constellation(past.xy[index])
        found = self._corners(past.gray, group.place, np.zeros((0, 2)))[: self._wanted]
        if len(found):
            # A hand on its way is around the point too, but has not stood still beside it.
            step = earlier.xy[index] - past.xy[index]
            before, _ = self._flow.track(past.gray, earlier.gray, found, found + step, _LEVELS)
            found = found[np.linalg.norm(before - found - step, axis=1) <= _FIXED_PX * self._scale]
        group.add(found, camera.to_first(found), self._looks(past.gray, found), proven=True)
        if len(group):
            self._advance([group], past.gray, gray)
        return group, past

    def _follow(self, gray: Gray) -> None:
        """Take the corners of all hidden points from the last frame to this one, in one go."""
        groups = [group for group, _ in self._groups.values() if len(group)]
        if groups:
            self._advance(groups, self._past[-1].gray, gray)

    def _advance(self, groups: Sequence[Constellation], source: Gray, target: Gray) -> None:
        xy = np.concatenate([group.xy for group in groups])
        forward, residual = self._flow.track(source, target, xy, xy, _LEVELS)
        back, residual_back = self._flow.track(target, source, forward, forward, _LEVELS)
        good = (residual <= _MAX_RESIDUAL) & np.isfinite(residual_back)
        good &= np.linalg.norm(back - xy, axis=1) <= _MAX_ROUND_TRIP_PX * self._scale
        looks = np.concatenate([group.looks for group in groups])
        good &= np.sum(self._looks(target, forward) * looks, axis=1) >= _LEAST_CORRELATION
        ends = np.cumsum([len(group) for group in groups])[:-1]
        for group, place, ok in zip(groups, np.split(forward, ends), np.split(good, ends), strict=True):
            group.move(place, ok)

    def _fellows(self, past: _Past, index: int, sureness: Float[np.ndarray, "n"]) -> Int[np.ndarray, "k"]:
        """Return the other points of the same object that are seen, and were when `index` was last seen."""
        same = self._object_of == self._object_of[index]
        fellows: np.ndarray = np.flatnonzero(same & (sureness > 0.0) & (past.sureness > 0.0))
        return np.setdiff1d(fellows, [index])

    def _elect(
        self,
        group: Constellation,
        past: _Past,
        fellows: Int[np.ndarray, "k"],
        xy_px: Points,
        camera: CameraMotion,
    ) -> None:
        """Let those corners vote that have left where they would rest, and those points of the same object."""
        left = np.linalg.norm(group.xy - camera.from_first(group.home), axis=1) > _LEFT_PX * self._scale
        left &= group.proven
        votes = Votes(group.model[left], group.xy[left], past.xy[fellows], xy_px[fellows])
        agreed_place(group, votes, self._scale)

    def _refill(self, group: Constellation, gray: Gray, camera: CameraMotion) -> None:
        """Take new corners around the guess in place of those that are gone: the object turns, hands come."""
        if len(group) < self._wanted:
            found = self._corners(gray, group.place, group.xy)[: self._wanted - len(group)]
            group.add(found, camera.to_first(found), self._looks(gray, found), proven=False)

    def _looks(self, gray: Gray, xy: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k pixels"]:
        """Return patches of mean 0 and length 1: what a corner is told from an edge that has taken its place by."""
        steps = (np.arange(_LOOK_SIDE) - _LOOK_SIDE // 2) * self._scale
        offset = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        where = (xy[:, None] + offset).astype(np.float32)
        if not len(where):
            return np.zeros((0, len(offset)))
        patch = cv2.remap(
            gray, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        centred = patch - patch.mean(axis=1, keepdims=True)
        looks: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1.0)
        return looks

    def _corners(self, gray: Gray, xy: Float[np.ndarray, "2"], taken: Points) -> Float[np.ndarray, "k 2"]:
        radius = round(_RADIUS_PX * self._scale)
        low = np.maximum(np.rint(xy).astype(int) - radius, 0)
        high = np.minimum(np.rint(xy).astype(int) + radius + 1, self._size)
        if np.any(high - low < 8):
            return np.zeros((0, 2))
        free = np.full((high - low)[::-1], 255, np.uint8)
        spacing = _SPACING_PX * self._scale
        for x, y in np.rint(taken - low).astype(int):
            cv2.circle(free, (int(x), int(y)), round(spacing), 0, -1)
        part = np.ascontiguousarray(gray[low[1] : high[1], low[0] : high[0]])
        found = cv2.goodFeaturesToTrack(part, _FEATURES, _QUALITY, spacing, mask=free)
        return np.zeros((0, 2)) if found is None else found[:, 0].astype(np.float64) + low
