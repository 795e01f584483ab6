"""Large objects between camera and scene that hide an asked share of the target and of the arm.

One stands at the near edge of the table and comes into the line of sight to the target from the left or the
right; one hangs before the arm, down to just above the task's objects. How far the one comes in and how wide the
other is is found per seed from the rendered masks of the first frame. They stand still, and nothing collides with
them: both are nearer to the camera than the arm ever comes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.ood.distractors import HIDDEN_GROUP, Item, Part, add_item, add_textures
from glue_bringup.sim.ood.paints import Paints
from glue_bringup.sim.ood.task_objects import TaskObject, robot_mask

TOLERANCE = 0.03
"""By which target's and arm's hidden share may differ from the asked one."""

STAND_DISTANCE_M = 0.42
HANG_DISTANCE_M = 0.40
"""Along the ground, from the camera; the arm's workspace begins at about 0.8 m."""

MAX_OTHER_HIDDEN = 0.8
"""No other object of the task loses more than this share: each has to be found in the first frame."""

_MARGIN_PX = 10.0  # at 480 rows
_DEPTH_M = 0.10
SHOWN_GROUP = 5
"""Drawn as all others, but in a group of their own, so that they can be drawn alone."""

_HALVINGS = 16
_HANG_PLACES = (0.25, 0.6)  # of the arm's columns, from the hand's side
_DROPS = (0.0, 0.12, 0.25, 1.0)

_STREAM = 32


def _foliage(count: int, seed: int) -> tuple[Part, ...]:
    """Return leaves all over the unit square, denser in the middle; the edge stays ragged."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        x, z = rng.uniform(-0.44, 0.44), rng.uniform(0.04, 0.96)
        size = (float(rng.uniform(0.13, 0.20)), 0.02, float(rng.uniform(0.06, 0.09)))
        tilt = float(rng.uniform(-60, 60))
        place = (float(x), float(rng.uniform(-0.4, 0.4)), float(z))
        parts.append(Part("ellipsoid", size, place, "lime" if k % 3 == 0 else "leaf", (0.0, tilt, 0.0)))
    return tuple(parts)


# In the unit box: x from -0.5 to 0.5 to the right, y away from the camera, z from 0 to 1 upwards.
STANDING: dict[str, tuple[Part, ...]] = {
    "carton": (
        Part("box", (0.5, 0.5, 0.5), (0, 0, 0.5), "cardboard"),
        Part("box", (0.07, 0.505, 0.5005), (0, 0, 0.5), "wood"),
        Part("box", (0.20, 0.505, 0.05), (-0.22, 0, 0.84), "white"),
    ),
    "canister": (
        Part("cylinder", (0.5, 0.5), (0, 0, 0.5), "teal"),
        Part("cylinder", (0.505, 0.03), (0, 0, 0.93), "white"),
        Part("cylinder", (0.505, 0.05), (0, 0, 0.78), "steel"),
    ),
    "plant": _foliage(60, 5),
}
HANGING: dict[str, tuple[Part, ...]] = {
    "lamp": (
        Part("cylinder", (0.5, 0.30), (0, 0, 0.30), "yellow"),
        Part("cylinder", (0.505, 0.012), (0, 0, 0.012), "black"),
        Part("cylinder", (0.505, 0.012), (0, 0, 0.59), "black"),
        Part("cylinder", (0.40, 0.20), (0, 0, 0.80), "white"),
    ),
    "banner": (
        Part("box", (0.5, 0.1, 0.5), (0, 0, 0.5), "cloth"),
        Part("box", (0.5, 0.12, 0.015), (0, 0, 0.015), "black"),
        Part("box", (0.36, 0.11, 0.12), (0, 0, 0.40), "sky"),
    ),
    "plant": _foliage(60, 6),
}
_STAND_WIDTH_M = 0.15
_HANG_WIDTHS_M = (0.02, 0.60)
_DISTANCES_M = {"stand": STAND_DISTANCE_M, "hang": HANG_DISTANCE_M}


Mask = Bool[np.ndarray, "height width"]
Segment = Callable[[Sequence[int]], Int32[np.ndarray, "height width 2"]]


@dataclass(frozen=True)
class HiddenShares:
    """What foreground objects hide in the first frame, measured in pixels of the camera's own picture.

    Attributes:
        target: Share of the target, the task's first object.
        arm: Share of the robot.
        others: Largest share of any other object of the task.
    """

    target: float
    arm: float
    others: float = 0.0

    def error(self, asked: float) -> float:
        """Return the larger distance of target's and arm's share from the asked one, or 1 if another is lost."""
        if self.others > MAX_OTHER_HIDDEN:
            return 1.0
        return max(abs(self.target - asked), abs(self.arm - asked))


def add_foreground(scene: ET.Element, world: ET.Element) -> None:
    """Append all foreground objects, unseen, to an MJCF scene."""
    add_textures(scene)
    for prefix, kinds in (("stand", STANDING), ("hang", HANGING)):
        for kind, parts in kinds.items():
            add_item(world, f"{prefix}_{kind}", parts)


@dataclass(frozen=True)
class _Pose:
    """Where an object is in the picture.

    Attributes:
        where: `stand` or `hang`.
        kind: Which of them.
        column_px: Its middle.
        row_px: Its top if it stands, its bottom if it hangs.
        width_m: Its width.
    """

    where: str
    kind: str
    column_px: float
    row_px: float
    width_m: float


class Foreground:
    """The foreground objects of one compiled model.

    Args:
        model: Holds their bodies.
        objects: The task's, the target first.
        camera: That they stand before.
        hidden_share: To hide of target and arm.
    """

    def __init__(
        self, model: Any, objects: Sequence[TaskObject], camera: CameraConfig, hidden_share: float
    ) -> None:
        self._model, self._objects, self._camera, self._asked = model, objects, camera, hidden_share
        self._sizes = model.geom_size.copy()
        self._positions = model.geom_pos.copy()
        T = camera.T_base_camera
        forward = T[:2, 2] / np.linalg.norm(T[:2, 2])
        self._forward, self._right = np.array([*forward, 0.0]), T[:3, 0]

    def place(self, segment: Segment, seed: int) -> HiddenShares:
        """Put the foreground objects of episode `seed` into the model and return what they hide.

        The combination of sides that comes within `TOLERANCE` first is taken, else the nearest.

        Args:
            segment: Draws the first frame with the geoms of some groups only; see `OffscreenRenderer.segment`.
            seed: Of the episode.
        """
        rng = np.random.default_rng([seed, _STREAM])
        self._hide("stand")
        self._hide("hang")
        paints = Paints(self._model, self._objects, rng)
        for prefix, kinds in (("stand", STANDING), ("hang", HANGING)):
            for kind, parts in kinds.items():
                colours = paints.colours(Item(parts, 0.0, 0.0), confusable=False)
                self._model.geom_rgba[self._geoms(f"{prefix}_{kind}"), :3] = colours
        scene = segment((0, 1, 2))
        masks = [o.mask(scene) for o in self._objects]
        arm = robot_mask(self._model, scene)
        tried: list[tuple[float, HiddenShares, _Pose, _Pose]] = []
        for stand, hang in self._candidates(rng, masks, arm, segment):
            self._show(stand)
            self._show(hang)
            shares = _shares(self._silhouette(segment), masks, arm)
            tried.append((shares.error(self._asked), shares, stand, hang))
            if tried[-1][0] <= TOLERANCE:
                break
        _, shares, stand, hang = min(tried, key=lambda one: one[0])
        self._show(stand)
        self._show(hang)
        return shares

    def _candidates(
        self, rng: np.random.Generator, masks: Sequence[Mask], arm: Mask, segment: Segment
    ) -> Iterator[tuple[_Pose, _Pose]]:
        """Yield poses of the standing and the hanging object, those that the seed likes best first."""
        stand_kind, hang_kind = str(rng.choice(list(STANDING))), str(rng.choice(list(HANGING)))
        left = bool(rng.integers(2))
        place = float(rng.uniform(*_HANG_PLACES))
        margin = _MARGIN_PX * self._camera.height_px / 480
        tops = [float(_rows(mask)[0]) for mask in masks]
        columns = np.flatnonzero(arm.any(axis=0))
        column = float(columns[0] + place * (columns[-1] - columns[0]))
        for from_left in (left, not left):
            stand = self._stand(stand_kind, tops[0] - margin, masks[0], from_left, segment)
            for drop in _DROPS:
                row = min(tops) - margin + drop * self._camera.height_px
                yield stand, self._hang(hang_kind, column, row, arm, stand, segment)

    def _stand(self, kind: str, row_px: float, target: Mask, from_left: bool, segment: Segment) -> _Pose:
        """Return where the standing object hides the asked share of the target, coming from one side."""
        self._hide("stand")
        self._hide("hang")
        columns = np.flatnonzero(target.any(axis=0))
        half_px = 0.5 * _STAND_WIDTH_M / STAND_DISTANCE_M * float(self._camera.intrinsics[0, 0])
        side = -1.0 if from_left else 1.0
        near, far = (columns[0], columns[-1]) if from_left else (columns[-1], columns[0])
        # From just outside to behind the target's middle: never past it, where it would come into view again.
        first, last = near + side * 1.5 * half_px, (near + far) / 2

        def at(share: float) -> _Pose:
            return _Pose("stand", kind, float(first + share * (last - first)), row_px, _STAND_WIDTH_M)

        return self._search(at, target, np.zeros_like(target), segment)

    def _hang(
        self, kind: str, column_px: float, row_px: float, arm: Mask, stand: _Pose, segment: Segment
    ) -> _Pose:
        """Return how wide the hanging object hides the asked share of the arm, with what the other hides."""
        self._hide("hang")
        self._show(stand)
        taken = self._silhouette(segment)
        self._hide("stand")
        narrow, wide = _HANG_WIDTHS_M

        def at(share: float) -> _Pose:
            return _Pose("hang", kind, column_px, row_px, narrow + share * (wide - narrow))

        return self._search(at, arm, taken, segment)

    def _search(self, at: Callable[[float], _Pose], mask: Mask, taken: Mask, segment: Segment) -> _Pose:
        """Return the pose, of a way along which ever more of the mask is hidden, that hides the asked share."""
        low, high = 0.0, 1.0
        best = (np.inf, at(0.0))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            self._show(at(middle))
            share = _share(mask, self._silhouette(segment) | taken)
            if abs(share - self._asked) < best[0]:
                best = (abs(share - self._asked), at(middle))
            if best[0] <= TOLERANCE / 4:
                break
            low, high = (middle, high) if share < self._asked else (low, middle)
        return best[1]

    def _show(self, pose: _Pose) -> None:
        """Put an object there, in the group that is drawn."""
        self._hide(pose.where)
        camera, model = self._camera, self._model
        eye = np.asarray(camera.position_m)
        distance_m, width_m = _DISTANCES_M[pose.where], pose.width_m
        centre = eye + self._ray(pose.column_px, pose.row_px) * distance_m
        if pose.where == "stand":
            bottom, top = 0.0, max(float(centre[2]), 0.02)
        else:
            above = eye + self._ray(camera.width_px / 2, -0.2 * camera.height_px) * distance_m
            bottom, top = float(centre[2]), max(float(above[2]), float(centre[2]) + 0.05)
        name = f"{pose.where}_{pose.kind}"
        body, geoms = int(model.body(name).id), self._geoms(name)
        yaw = float(np.arctan2(self._right[1], self._right[0]))
        model.body_pos[body] = (centre[0], centre[1], bottom)
        model.body_quat[body] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        model.geom_pos[geoms] = self._positions[geoms] * (width_m, _DEPTH_M, top - bottom)
        model.geom_size[geoms] = [
            _scaled(int(kind), size, width_m, top - bottom)
            for kind, size in zip(model.geom_type[geoms], self._sizes[geoms], strict=True)
        ]
        model.geom_group[geoms] = SHOWN_GROUP

    def _hide(self, where: str) -> None:
        for kind in STANDING if where == "stand" else HANGING:
            self._model.geom_group[self._geoms(f"{where}_{kind}")] = HIDDEN_GROUP

    def _geoms(self, name: str) -> slice:
        body = int(self._model.body(name).id)
        first = int(self._model.body_geomadr[body])
        return slice(first, first + int(self._model.body_geomnum[body]))

    def _ray(self, column_px: float, row_px: float) -> Float[np.ndarray, "3"]:
        """Return the direction through a pixel, so long that it goes one metre along the ground."""
        K, T = self._camera.intrinsics, self._camera.T_base_camera
        ray = T[:3, :3] @ np.array([(column_px - K[0, 2]) / K[0, 0], (row_px - K[1, 2]) / K[1, 1], 1.0])
        along: np.ndarray = ray / float(ray @ self._forward)
        return along

    def _silhouette(self, segment: Segment) -> Mask:
        return segment((SHOWN_GROUP,))[..., 0] >= 0


def _scaled(kind: int, size: Float[np.ndarray, "3"], width_m: float, height_m: float) -> list[float]:
    """Return a geom's half sizes in a box of that width and height; a leaf keeps its form."""
    import mujoco

    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return [size[0] * width_m, size[1] * _DEPTH_M, size[2] * height_m]
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return [size[0] * width_m, size[1] * height_m, 0.0]
    return [float(s) * float(np.sqrt(width_m * height_m)) for s in size]


def _rows(mask: Mask) -> Int[np.ndarray, "rows"]:
    return np.flatnonzero(mask.any(axis=1))


def _share(mask: Mask, hidden: Mask) -> float:
    return float((mask & hidden).sum() / max(int(mask.sum()), 1))


def _shares(hidden: Mask, masks: Sequence[Mask], arm: Mask) -> HiddenShares:
    return HiddenShares(
        target=_share(masks[0], hidden),
        arm=_share(arm, hidden),
        others=max((_share(mask, hidden) for mask in masks[1:]), default=0.0),
    )
