"""Places distractors on the table: anew for every seed, beside the task's objects and the arm's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.ood.distractors import ANY, BODY_PREFIX, CATALOGUE, HIDDEN_GROUP, Item
from glue_bringup.sim.ood.paints import Paints
from glue_bringup.sim.ood.task_objects import TaskObject
from glue_perception.geometry import project_points

TABLE_X_M = (0.22, 1.00)
TABLE_Y_M = (-0.59, 0.60)

GAP_M = 0.012
"""Least distance between a distractor and anything else on the table."""

HAND_COLUMN_RADIUS_M = 0.07
HAND_COLUMN_M = 0.28
"""The hand comes down in this column above each object; nothing may stand in front of it in the picture."""

_CLEARANCE_M = ((0.035, 0.02), (0.08, 0.10), (0.15, 0.15), (np.inf, 0.24))
"""Up to this height, a distractor keeps this distance from the arm's ways. Low ones pass under fingers and hand."""

_SCALES = (0.85, 1.15)
_SHRINK = (1.0, 0.75, 0.55)
_TRIES = 80
"""Per size; what finds no room is made smaller before another item takes its turn."""
_CONFUSABLE_SHARE = 0.15
_STREAM = 31


@dataclass(frozen=True)
class Placement:
    """One distractor of one episode.

    Attributes:
        index: In the catalogue.
        xy_m: Middle of its foot print, base frame.
        yaw_rad: Turn about the vertical.
        scale: Size by that of the catalogue.
    """

    index: int
    xy_m: tuple[float, float]
    yaw_rad: float
    scale: float

    @property
    def item(self) -> Item:
        """The item as the catalogue has it."""
        return CATALOGUE[self.index]

    @property
    def radius_m(self) -> float:
        """Of the upright cylinder around it."""
        return self.item.radius_m * self.scale

    @property
    def height_m(self) -> float:
        """Of the same."""
        return self.item.height_m * self.scale


class Clutter:
    """The distractors of one compiled model.

    Args:
        model: Holds the catalogue's bodies.
        objects: The task's.
        camera: Of the pictures in which the objects must stay unhidden.
        count: How many distractors an episode has.
    """

    def __init__(self, model: Any, objects: Sequence[TaskObject], camera: CameraConfig, count: int) -> None:
        self._model, self._objects, self._camera, self._count = model, objects, camera, count
        self._bodies = [int(model.body(f"{BODY_PREFIX}{k}").id) for k in range(len(CATALOGUE))]
        self._sizes = model.geom_size.copy()
        self._positions = model.geom_pos.copy()

    def place(self, data: Any, tool_xy_m: Float[np.ndarray, "2"], seed: int) -> tuple[Placement, ...]:
        """Put the distractors of episode `seed` into the model and return them.

        Fewer than asked for only where the table has no room left.

        Args:
            data: Kinematics with the task's objects in their places.
            tool_xy_m: Where the hand starts.
            seed: Of the episode; the same seed, objects and start give the same scene.
        """
        rng = np.random.default_rng([seed, _STREAM])
        rooms = _Rooms(self._model, data, self._objects, self._camera, tool_xy_m)
        placed: list[Placement] = []
        # Large ones first: they are the hardest to find room for. The rest of the shuffled catalogue steps in.
        order = [int(k) for k in rng.permutation(len(CATALOGUE))]
        confusable = [k for k in order if _may_confuse(CATALOGUE[k])]
        confusable = confusable[: max(1, round(_CONFUSABLE_SHARE * self._count))]
        order = confusable + [k for k in order if k not in confusable]
        wanted = sorted(order[: self._count], key=lambda k: -CATALOGUE[k].radius_m)
        for index in (*wanted, *sorted(order[self._count :], key=lambda k: CATALOGUE[k].radius_m)):
            if len(placed) == self._count:
                break
            placement = _find(rng, index, placed, rooms)
            if placement is not None:
                placed.append(placement)
        self._show(placed, confusable, rng)
        return tuple(placed)

    def _show(self, placed: Sequence[Placement], confusable: Sequence[int], rng: np.random.Generator) -> None:
        model = self._model
        paints = Paints(model, self._objects, rng)
        shown = {p.index: p for p in placed}
        for index, body in enumerate(self._bodies):
            first = int(model.body_geomadr[body])
            geoms = slice(first, first + int(model.body_geomnum[body]))
            placement = shown.get(index)
            model.geom_group[geoms] = HIDDEN_GROUP if placement is None else 1
            if placement is None:
                continue
            model.body_pos[body] = (*placement.xy_m, 0.0)
            model.body_quat[body] = (np.cos(placement.yaw_rad / 2), 0.0, 0.0, np.sin(placement.yaw_rad / 2))
            model.geom_size[geoms] = self._sizes[geoms] * placement.scale
            model.geom_pos[geoms] = self._positions[geoms] * placement.scale
            model.geom_rgba[geoms, :3] = paints.colours(placement.item, index in confusable)


class _Rooms:
    """Where a distractor may stand."""

    def __init__(
        self,
        model: Any,
        data: Any,
        objects: Sequence[TaskObject],
        camera: CameraConfig,
        tool_xy_m: Float[np.ndarray, "2"],
    ) -> None:
        self._camera = camera
        clouds = [o.points_m(model, data) for o in objects]
        self.circles = [_circle(cloud[:, :2]) for cloud in clouds]
        centres = [centre for centre, _ in self.circles]
        # The hand goes from its start to an object and between objects; the forearm follows from the base.
        self._ways = [(tool_xy_m, centre) for centre in centres] + list(combinations(centres, 2))
        self._forearm = [(np.zeros(2), centre) for centre in centres]
        self._views = [
            self._view(np.concatenate([cloud, _column(c)])) for cloud, c in zip(clouds, centres, strict=True)
        ]

    def free(self, item: Placement) -> bool:
        """Return whether it stands clear of objects and arm, in view, and hides no object."""
        xy = np.array(item.xy_m)
        if any(np.linalg.norm(xy - c) < item.radius_m + r + GAP_M for c, r in self.circles):
            return False
        clearance = next(far for height, far in _CLEARANCE_M if item.height_m <= height) + item.radius_m
        if any(_distance(xy, a, b) < clearance for a, b in self._ways):
            return False
        if item.height_m > 0.15 and any(_distance(xy, a, b) < clearance for a, b in self._forearm):
            return False
        box, near_m = self._view(_cylinder(item))
        foot = self._pixels(np.array([[*item.xy_m, 0.0]]))[0]
        if not (0 <= foot[0] < self._camera.width_px and 0 <= foot[1] < self._camera.height_px):
            return False
        return not any(_overlap(box, other) and near_m < far_m for other, far_m in self._views)

    def _pixels(self, points_m: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        return project_points(points_m, self._camera.T_base_camera, self._camera.intrinsics)

    def _view(self, points_m: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "4"], float]:
        """Return the box around points in the picture, and how far away their middle is."""
        pixels = self._pixels(points_m)
        distance_m = float(np.linalg.norm(points_m.mean(axis=0) - self._camera.position_m))
        return np.concatenate([pixels.min(axis=0) - 2.0, pixels.max(axis=0) + 2.0]), distance_m


def _may_confuse(item: Item) -> bool:
    return item.thin and any(part.paint == ANY for part in item.parts)


def _find(
    rng: np.random.Generator, index: int, placed: Sequence[Placement], rooms: _Rooms
) -> Placement | None:
    full_scale = float(rng.uniform(*_SCALES))
    for attempt in range(_TRIES * len(_SHRINK)):
        scale = full_scale * _SHRINK[attempt // _TRIES]
        radius_m = CATALOGUE[index].radius_m * scale
        xy = tuple(
            float(rng.uniform(low + radius_m, high - radius_m)) for low, high in (TABLE_X_M, TABLE_Y_M)
        )
        candidate = Placement(index, (xy[0], xy[1]), float(rng.uniform(-np.pi, np.pi)), scale)
        apart = all(
            np.hypot(xy[0] - p.xy_m[0], xy[1] - p.xy_m[1]) >= radius_m + p.radius_m + GAP_M for p in placed
        )
        if apart and rooms.free(candidate):
            return candidate
    return None


def _circle(points: Float[np.ndarray, "n 2"]) -> tuple[Float[np.ndarray, "2"], float]:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return centre, float(np.linalg.norm(points - centre, axis=1).max())


def _ring(centre: Any, radius_m: float, z_m: float) -> Float[np.ndarray, "8 3"]:
    angles = np.arange(8) * np.pi / 4
    return np.stack(
        [centre[0] + radius_m * np.cos(angles), centre[1] + radius_m * np.sin(angles), np.full(8, z_m)],
        axis=1,
    )


def _column(centre: Float[np.ndarray, "2"]) -> Float[np.ndarray, "16 3"]:
    return np.concatenate([_ring(centre, HAND_COLUMN_RADIUS_M, z) for z in (0.0, HAND_COLUMN_M)])


def _cylinder(item: Placement) -> Float[np.ndarray, "16 3"]:
    return np.concatenate([_ring(item.xy_m, item.radius_m * 1.1, z) for z in (0.0, item.height_m)])


def _overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> bool:
    return bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())


def _distance(point: Any, a: Any, b: Any) -> float:
    """Return the distance from a point to the segment a-b."""
    along = b - a
    share = float(np.clip(np.dot(point - a, along) / max(float(np.dot(along, along)), 1e-12), 0.0, 1.0))
    return float(np.linalg.norm(point - a - share * along))
