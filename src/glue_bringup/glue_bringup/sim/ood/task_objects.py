"""Which shapes of a compiled model are the task's objects, and where they are in space and in pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int32

from glue_bringup.sim.tasks.base import Task
from glue_perception.errors import ConfigError

ROBOT_PREFIX = "robot0"
COLLISION_GROUP = 3
"""Not drawn."""


@dataclass(frozen=True)
class TaskObject:
    """One object of a task in a compiled model.

    Attributes:
        query: The text that asks for it, or "" where the task does not say.
        geoms: Numbers of its geoms.
        flexes: Numbers of its flexes (cloth).
        skins: Numbers of the skins that its flexes wear.
    """

    query: str
    geoms: tuple[int, ...]
    flexes: tuple[int, ...] = ()
    skins: tuple[int, ...] = ()

    def mask(self, seen: Int32[np.ndarray, "height width 2"]) -> Bool[np.ndarray, "height width"]:
        """Return its pixels in a picture of `OffscreenRenderer.segment`."""
        import mujoco

        kinds = mujoco.mjtObj
        parts = (
            (kinds.mjOBJ_GEOM, self.geoms),
            (kinds.mjOBJ_FLEX, self.flexes),
            (kinds.mjOBJ_SKIN, self.skins),
        )
        return np.asarray(np.any([_shows(seen, int(kind), numbers) for kind, numbers in parts], axis=0))

    def points_m(self, model: Any, data: Any) -> Float[np.ndarray, "points 3"]:
        """Return corners of boxes around its geoms, and its flexes' vertices, in the base frame."""
        corners = [_corners(model, data, geom) for geom in self.geoms]
        for flex in self.flexes:
            first, count = model.flex_vertadr[flex], model.flex_vertnum[flex]
            corners.append(data.flexvert_xpos[first : first + count])
        return np.concatenate(corners)


def task_objects(task: Task, model: Any) -> tuple[TaskObject, ...]:
    """Return the task's objects, the target first.

    A task names them in `object_geoms`, a mapping of query to names of geoms or flexes. For one that does not, the
    bodies that it adds are its objects in the order of its queries, or all one object where the numbers differ.

    Raises:
        ConfigError: the model has no geom or flex of a name.
    """
    named: dict[str, tuple[str, ...]] = getattr(task, "object_geoms", {})
    if named:
        return tuple(_named(model, query, names) for query, names in named.items())
    return _added(task, model)


def robot_mask(model: Any, seen: Int32[np.ndarray, "height width 2"]) -> Bool[np.ndarray, "height width"]:
    """Return the pixels that show the robot."""
    import mujoco

    geoms = [
        geom
        for geom in range(model.ngeom)
        if model.body(int(model.geom_bodyid[geom])).name.startswith(ROBOT_PREFIX)
    ]
    return _shows(seen, int(mujoco.mjtObj.mjOBJ_GEOM), tuple(geoms))


def _shows(
    seen: Int32[np.ndarray, "height width 2"], kind: int, numbers: tuple[int, ...]
) -> Bool[np.ndarray, "height width"]:
    mask: np.ndarray = (seen[..., 0] == kind) & np.isin(seen[..., 1], numbers)
    return mask


def _named(model: Any, query: str, names: tuple[str, ...]) -> TaskObject:
    geoms, flexes = _numbers(model, "geom"), _numbers(model, "flex")
    for name in names:
        if name not in geoms and name not in flexes:
            raise ConfigError(
                f"the task names {name!r} for {query!r}, but the scene has no such geom or flex"
            )
    return TaskObject(
        query,
        tuple(geoms[name] for name in names if name in geoms),
        worn := tuple(flexes[name] for name in names if name in flexes),
        _skins(model, worn),
    )


def _numbers(model: Any, kind: str) -> dict[str, int]:
    import mujoco

    count = model.ngeom if kind == "geom" else model.nflex
    type_ = mujoco.mjtObj.mjOBJ_GEOM if kind == "geom" else mujoco.mjtObj.mjOBJ_FLEX
    return {mujoco.mj_id2name(model, type_, k) or "": k for k in range(count)}


def _added(task: Task, model: Any) -> tuple[TaskObject, ...]:
    """Return what the task adds, found by adding it once more to an empty scene: each body and cloth by itself.

    They are taken for the task's objects in the order of its queries where they are as many, else for one.
    """
    scene = ET.Element("mujoco")
    world = ET.SubElement(scene, "worldbody")
    task.add_to_scene(scene)
    objects = [o for o in (_within(model, child) for child in world) if o.geoms or o.flexes]
    if len(objects) == len(task.queries):
        return tuple(replace(o, query=query) for o, query in zip(objects, task.queries, strict=True))
    return (
        TaskObject(
            "",
            tuple(g for o in objects for g in o.geoms),
            tuple(f for o in objects for f in o.flexes),
            tuple(s for o in objects for s in o.skins),
        ),
    )


def _within(model: Any, element: ET.Element) -> TaskObject:
    bodies = {e.get("name") for e in element.iter("body")}
    geoms = {e.get("name") for e in element.iter("geom")} - {None}
    flexes = {e.get("name") for e in element.iter("flexcomp")}
    return TaskObject(
        "",
        tuple(
            k
            for k in range(model.ngeom)
            if model.geom_group[k] != COLLISION_GROUP
            and (model.geom(k).name in geoms or model.body(int(model.geom_bodyid[k])).name in bodies)
        ),
        worn := tuple(k for name, k in _numbers(model, "flex").items() if name in flexes),
        _skins(model, worn),
    )


def _skins(model: Any, flexes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the skins whose bones are bodies of these flexes."""
    bodies = {
        int(body)
        for flex in flexes
        for body in model.flex_vertbodyid[model.flex_vertadr[flex] :][: model.flex_vertnum[flex]]
    }
    return tuple(s for s in range(model.nskin) if int(model.skin_bonebodyid[model.skin_boneadr[s]]) in bodies)


def _corners(model: Any, data: Any, geom: int) -> Float[np.ndarray, "8 3"]:
    """Return the corners of a geom's own box, turned and moved with it."""
    middle, half = model.geom_aabb[geom][:3], model.geom_aabb[geom][3:]
    signs = np.array(np.meshgrid((-1, 1), (-1, 1), (-1, 1))).reshape(3, 8).T
    rotation = data.geom_xmat[geom].reshape(3, 3)
    corners: np.ndarray = (middle + signs * half) @ rotation.T + data.geom_xpos[geom]
    return corners
