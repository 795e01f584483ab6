"""The hypothesis that points move: flow from frame to frame, checked by their objects and by the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.trackers.lucas_kanade_config import LucasKanadeConfig
from glue_perception.trackers.object_motion import ObjectMotion, fit_motion
from glue_perception.trackers.optical_flow import PyramidalFlow, window_texture
from glue_perception.trackers.patch_template import PatchSampler, PatchTemplates

Points = Float[np.ndarray, "n 2"]
Flags = Bool[np.ndarray, "n"]
Rgb = UInt8[np.ndarray, "height width 3"]
Gray = UInt8[np.ndarray, "height width"]

_RIVAL_MARGIN = 0.05
_BEYOND_RIVALS = 0.85
_ALIGN_MARGIN = 0.02
_MIN_WITNESSES = 3
_MIN_FOR_TURN = 4
_UNEXPLAINED_PX = 1e3


@dataclass(frozen=True, eq=False)
class Moved:
    """The hypothesis that points move: where to, how that looks, and whether flow followed them there."""

    xy: Points
    first_similarity: Float[np.ndarray, "n"]
    similarity: Float[np.ndarray, "n"]
    patch: PatchTemplates
    followed: Flags
    round_trip_px: Float[np.ndarray, "n"]


@dataclass(frozen=True, eq=False)
class _Reference:
    """The frame in which some points were first seen; they are aligned with it."""

    gray: Gray
    members: Int[np.ndarray, "k"]


class MovingPoints:
    """Takes points from frame to frame; says nothing of whether to believe it. One thread.

    Args:
        config: Limits.
        rgb: The first frame.
        gray: The same in grey.
        xy_px: The points in it.
        objects: Indices of the points of each object.

    Attributes:
        xy: Where the hypothesis stood after the last frame.
        first_patch: How the points looked in their first frame.
        texture: See `window_texture`, of their first windows.
    """

    def __init__(
        self,
        config: LucasKanadeConfig,
        rgb: Rgb,
        gray: Gray,
        xy_px: Points,
        objects: Sequence[Int[np.ndarray, "members"]],
    ) -> None:
        self._config, self._objects = config, objects
        self._size = (gray.shape[1], gray.shape[0])
        self._scale = min(self._size) / 480.0
        self._flow = PyramidalFlow(*self._size, self._side(config.window_px))
        self._narrow_flow = PyramidalFlow(*self._size, self._side(config.narrow_window_px))
        self._sampler = PatchSampler(max(1.0, self._scale))
        self._references = [_Reference(gray, np.arange(len(xy_px)))]
        self._last_gray = gray
        self._first_xy, self.xy = xy_px.copy(), xy_px.copy()
        self.first_patch = self._adapted_patch = self._sampler.sample(rgb, xy_px)
        self._followable = np.ones(len(xy_px), bool)
        self.texture = window_texture(gray, xy_px, self._side(config.window_px))

    def move(self, rgb: Rgb, gray: Gray, rest_patch: PatchTemplates) -> Moved:
        """Return the places to which flow, the object's motion or a rival of them takes the points.

        Args:
            rgb: This frame.
            gray: The same in grey.
            rest_patch: How the points looked where they last lay still; another look that they may have.
        """
        place, followed, round_trip_px = self._follow_all(rgb, gray)
        place, first, patch = self._align(rgb, gray, place, followed)
        similarity = np.maximum(first, self._sampler.similarity(patch, self._adapted_patch))
        similarity = np.maximum(similarity, self._sampler.similarity(patch, rest_patch))
        return Moved(place, first, similarity, patch, followed, round_trip_px)

    def _follow_all(self, rgb: Rgb, gray: Gray) -> tuple[Points, Flags, Float[np.ndarray, "n"]]:
        """Return where points are taken, which of them were followed there, and flow's error where it was used."""
        if not self._followable.any():
            return self.xy, self._followable, np.zeros(len(self.xy))
        flow_xy, round_trip_px, explained = self._follow(self._flow, gray)
        seen = self._followable & explained & (round_trip_px <= self._config.max_round_trip_px * self._scale)
        common_xy = self._common_motion(flow_xy, seen)
        followed = seen & self._plausible(flow_xy, common_xy)
        place = np.where(followed[:, None], flow_xy, common_xy)
        # Flow on a plain surface is noise; where the object's motion stands in for it, its error says nothing.
        round_trip_px = np.where(followed, round_trip_px, 0.0)
        place, followed = self._best_rival(rgb, gray, place, followed, flow_xy, seen)
        return place, followed, round_trip_px

    def _follow(self, flow: PyramidalFlow, gray: Gray) -> tuple[Points, Float[np.ndarray, "n"], Flags]:
        """Return flow from the last frame, its error there and back, and if both ends look alike."""
        levels = self._config.levels
        forward, residual = flow.track(self._last_gray, gray, self.xy, self.xy, levels)
        back, residual_back = flow.track(gray, self._last_gray, forward, forward, levels)
        explained = (residual <= self._config.max_residual) & np.isfinite(residual_back)
        error = np.linalg.norm(back - self.xy, axis=1)
        return forward, np.where(np.isfinite(residual_back), error, _UNEXPLAINED_PX), explained

    def _common_motion(self, flow_xy: Points, seen: Flags) -> Points:
        """Return every point moved with its object; objects that are not seen stand still."""
        moved = self.xy.copy()
        for members in self._objects:
            witnesses = members[seen[members]]
            if not len(witnesses):
                continue
            before, after = self.xy[witnesses], flow_xy[witnesses]
            # A rotation seen on one end of the object swings the hidden other end about.
            if len(witnesses) >= _MIN_FOR_TURN and 2 * len(witnesses) >= len(members):
                motion = fit_motion(before, after, self._config.max_deviation_px * self._scale)
            else:
                motion = ObjectMotion(np.eye(2), np.median(after - before, axis=0))
            moved[members] = motion.apply(self.xy[members])
        return moved

    def _plausible(self, flow_xy: Points, common_xy: Points) -> Flags:
        allowed = self._config.max_deviation_px * self._scale
        allowed = allowed + 0.5 * np.linalg.norm(common_xy - self.xy, axis=1)
        near: np.ndarray = np.linalg.norm(flow_xy - common_xy, axis=1) <= allowed
        for members in self._objects:
            if len(members) < _MIN_WITNESSES:
                near[members] = True  # two points cannot outvote each other
        return near

    def _best_rival(
        self, rgb: Rgb, gray: Gray, place: Points, followed: Flags, flow_xy: Points, seen: Flags
    ) -> tuple[Points, Flags]:
        """Return places at which points look clearly better, by a narrow window or by their neighbours' motion."""
        best = self._similarity(rgb, place)
        if not (self._followable & (best < _BEYOND_RIVALS)).any():
            return place, followed
        narrow_xy, round_trip_px, _ = self._follow(self._narrow_flow, gray)
        narrow_ok = self._followable & (round_trip_px <= self._config.max_round_trip_px * self._scale)
        rivals = [(narrow_xy, narrow_ok)]
        few = [members for members in self._objects if len(members) < _MIN_FOR_TURN]
        if few:  # the common motion of more points is their neighbours' already
            rivals.append((self._with_others(few, place, flow_xy, seen), self._followable))
        for rival, ok in rivals:
            similarity = self._similarity(rgb, rival)
            better = ok & (similarity > best + _RIVAL_MARGIN)
            place = np.where(better[:, None], rival, place)
            best = np.where(better, similarity, best)
            followed = followed | better
        return place, followed

    def _with_others(
        self, objects: Sequence[Int[np.ndarray, "members"]], place: Points, flow_xy: Points, seen: Flags
    ) -> Points:
        """Return places to which the other points of an object would take each of its points."""
        xy = place.copy()
        for members in objects:
            witnesses = members[seen[members]]
            for index in members:
                others = witnesses[witnesses != index]
                if len(others):
                    xy[index] = self.xy[index] + np.median(flow_xy[others] - self.xy[others], axis=0)
        return xy

    def _similarity(self, rgb: Rgb, xy: Points) -> Float[np.ndarray, "n"]:
        patch = self._sampler.sample(rgb, xy)
        first = self._sampler.similarity(patch, self.first_patch)
        best: np.ndarray = np.maximum(first, self._sampler.similarity(patch, self._adapted_patch))
        return best

    def _align(
        self, rgb: Rgb, gray: Gray, place: Points, followed: Flags
    ) -> tuple[Points, Float[np.ndarray, "n"], PatchTemplates]:
        """Return the place near `place` that looks most like the first frame, its similarity to that, its patch."""
        aligned, found = place.copy(), np.zeros(len(place), bool)
        for reference in self._references:
            members = reference.members
            aligned[members], residual = self._flow.track(
                reference.gray, gray, self._first_xy[members], place[members], min(1, self._config.levels)
            )
            found[members] = np.isfinite(residual)
        reach = np.where(followed, self._config.max_deviation_px, 0.8 * self._config.search_px) * self._scale
        found &= np.linalg.norm(aligned - place, axis=1) <= reach
        aligned = np.where(found[:, None], aligned, place)
        patch, aligned_patch = self._sampler.sample(rgb, place), self._sampler.sample(rgb, aligned)
        first = self._sampler.similarity(patch, self.first_patch)
        aligned_first = self._sampler.similarity(aligned_patch, self.first_patch)
        better = found & (aligned_first >= np.maximum(first, self._config.hide_similarity) - _ALIGN_MARGIN)
        return (
            np.where(better[:, None], aligned, place),
            np.where(better, aligned_first, first),
            patch.blended(aligned_patch, better.astype(float)),
        )

    def adapt(self, moved: Moved, clear: Flags) -> None:
        """Let the second templates follow what is seen of points that are in clear view."""
        weight = np.where(clear, self._config.adaptation, 0.0)
        self._adapted_patch = self._adapted_patch.blended(moved.patch, weight)

    def go_on(self, gray: Gray, xy_px: Points, followable: Flags) -> None:
        """Start from `xy_px` in the frame `gray` next time; what is not followable moves with its object."""
        self._last_gray, self.xy, self._followable = gray, xy_px, followable

    def replace(
        self, rgb: Rgb, gray: Gray, index: Int[np.ndarray, "k"], xy_px: Float[np.ndarray, "k 2"]
    ) -> tuple[Float[np.ndarray, "k 2"], Bool[np.ndarray, "k"]]:
        """Take some points anew from `xy_px` in an older frame; return where they are now and which were followed."""
        levels = self._config.levels
        place, _ = self._flow.track(gray, self._last_gray, xy_px, xy_px, levels)
        back, _ = self._flow.track(self._last_gray, gray, place, place, levels)
        carried = np.linalg.norm(back - xy_px, axis=1) <= self._config.max_round_trip_px * self._scale
        carried &= inside(place, *self._size)
        place = np.where(carried[:, None], place, xy_px)
        others = [_Reference(r.gray, np.setdiff1d(r.members, index)) for r in self._references]
        self._references = [r for r in others if len(r.members)] + [_Reference(gray, index)]
        patch = self._sampler.sample(rgb, xy_px)
        self.first_patch = self.first_patch.replaced(index, patch)
        self._adapted_patch = self._adapted_patch.replaced(index, patch)
        self._first_xy[index], self.xy[index], self._followable[index] = xy_px, place, carried
        self.texture[index] = window_texture(gray, xy_px, self._side(self._config.window_px))
        return place, carried

    def _side(self, window_px: float) -> int:
        side: int = max(5, round(window_px * self._scale) | 1)
        return side


def inside(xy_px: Points, width_px: int, height_px: int) -> Flags:
    """Return which points lie within an image."""
    within: np.ndarray = np.all((xy_px >= -0.5) & (xy_px < np.array([width_px, height_px]) - 0.5), axis=1)
    return within
