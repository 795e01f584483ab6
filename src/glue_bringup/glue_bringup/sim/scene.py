"""The twin's scene: franky-sim's robot on a stand, a wooden table, grey walls, one camera, the task's objects."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from glue_bringup.sim.camera_config import CAMERA_NAME, CameraConfig
from glue_bringup.sim.meshes import use_light_meshes
from glue_bringup.sim.ood import IN_DOMAIN, Condition
from glue_bringup.sim.ood.stage import add_condition
from glue_bringup.sim.start_state import StartState
from glue_bringup.sim.tasks.base import Task
from glue_bringup.sim.wood import cloth_texture, wood_texture
from glue_perception.errors import MissingDependencyError

TABLE_X_M = (0.17, 1.02)
TABLE_Y_M = (-0.62, 0.62)
TABLE_TOP_M = 0.0
"""The robot's base stands at the height of the table top."""

FLOOR_M = -0.74

WALL_GREY = (0.66, 0.67, 0.69)
"""The light cloth to the arm's left in the authors' clips."""

CURTAIN_GREY = (0.36, 0.37, 0.39)
"""The darker one behind the robot."""

ALUMINIUM = (0.62, 0.64, 0.66)
FLOOR_GREY = (0.13, 0.13, 0.14)
_ROBOT_TONES = {
    "white": 0.87,
    "off_white": 0.83,
    "gray": 0.72,
    "black": 0.10,
    "red": 0.10,
    "button_red": 0.15,
    "button_green": 0.15,
}


def build_scene(task: Task, camera: CameraConfig, start: StartState, condition: Condition = IN_DOMAIN) -> Any:
    """Return franky-sim's MujocoSimulator with the whole scene in it and one robot, not yet started.

    Args:
        task: Adds its objects.
        camera: Becomes the fixed camera `third_person`.
        start: Joint angles and finger opening that the robot begins with.
        condition: What the scene holds besides; for pictures only.

    Raises:
        MissingDependencyError: franky-sim is not installed.
    """
    simulator_class = _simulator_class()
    simulator = simulator_class()
    simulator.add_robot(initial_q=tuple(start.joint_position_rad), initial_hand_width=start.gripper_width_m)
    use_light_meshes(simulator.scene)
    _set_quality(simulator.scene, camera)
    _replace_surroundings(simulator.worldbody)
    _add_wood(simulator.scene)
    _add_table(simulator.worldbody)
    _add_camera(simulator.worldbody, camera)
    task.add_to_scene(simulator.scene)
    add_condition(simulator.scene, simulator.worldbody, condition)
    return simulator


def _simulator_class() -> Any:
    try:
        from franky_sim.mujoco_simulator import MujocoSimulator
    except ImportError as error:
        raise MissingDependencyError(
            f"the simulation twin needs franky-sim ({error}); install it with: pip install franky-sim mujoco"
        ) from error
    return MujocoSimulator


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{float(v):.9g}" for v in values)


def _set_quality(scene: ET.Element, camera: CameraConfig) -> None:
    visual = scene.find("visual")
    if visual is None:
        visual = ET.SubElement(scene, "visual")
    for child in list(visual):
        visual.remove(child)
    ET.SubElement(
        visual, "headlight", diffuse="0.18 0.18 0.18", ambient="0.34 0.34 0.35", specular="0.05 0.05 0.05"
    )
    ET.SubElement(visual, "quality", shadowsize="0", offsamples="0")
    ET.SubElement(visual, "global", offwidth=str(camera.width_px), offheight=str(camera.height_px))
    ET.SubElement(visual, "map", znear="0.02", zfar="8")
    # The robot's own red and green buttons are painted over: a query for a red one must mean the task's.
    for name, tone in _ROBOT_TONES.items():
        material = scene.find(f"asset/material[@name='{name}']")
        if material is not None:
            material.set("rgba", f"{tone} {tone} {tone} 1")
            material.set("specular", "0.25")
            material.set("shininess", "0.3")


def _replace_surroundings(world: ET.Element) -> None:
    for element in list(world):
        if element.tag == "light" or element.get("name") == "ground":
            world.remove(element)
    ET.SubElement(
        world,
        "geom",
        name="ground",
        type="plane",
        size="4 4 0.1",
        pos=_numbers((0, 0, FLOOR_M)),
        rgba=_numbers((*FLOOR_GREY, 1)),
    )
    _add_cloth(world, "wall_right", (0.0, -1.43, 0.7), (-1, 0, 0, 0, 0, 1), WALL_GREY)
    _add_cloth(world, "wall_back", (-1.03, 0.0, 0.7), (0, 1, 0, 0, 0, 1), CURTAIN_GREY)
    for name, pos, size in (
        ("post_corner", (-0.99, -1.39, 0.4), (0.03, 0.03, 1.2)),
        ("post_side", (-0.35, -1.39, 0.4), (0.03, 0.03, 1.2)),
        ("rail", (-0.67, -1.39, 0.30), (0.32, 0.02, 0.02)),
    ):
        _visual_box(world, name, pos, size, ALUMINIUM)
    ET.SubElement(
        world,
        "light",
        name="key_light",
        pos="0.9 0.6 2.1",
        dir="-0.24 -0.32 -1",
        directional="false",
        cutoff="70",
        exponent="1",
        attenuation="1 0 0",
        diffuse="0.50 0.49 0.47",
        specular="0.2 0.2 0.2",
        castshadow="false",
    )
    ET.SubElement(
        world,
        "light",
        name="fill_light",
        pos="1.5 -1 2",
        dir="-0.6 0.5 -0.8",
        directional="true",
        diffuse="0.16 0.16 0.18",
        specular="0 0 0",
        castshadow="false",
    )


def _add_cloth(
    world: ET.Element, name: str, pos: Sequence[float], axes: Sequence[float], grey: Sequence[float]
) -> None:
    """Append an upright plane of cloth; `axes` are its horizontal and its upward direction."""
    ET.SubElement(
        world,
        "geom",
        name=name,
        type="plane",
        pos=_numbers(pos),
        xyaxes=_numbers(axes),
        size="3 1.6 0.1",
        rgba=_numbers((*grey, 1)),
        material="cloth",
        contype="0",
        conaffinity="0",
        group="1",
    )


def _add_wood(scene: ET.Element) -> None:
    asset = scene.find("asset")
    if asset is None:
        asset = ET.SubElement(scene, "asset")
    ET.SubElement(asset, "texture", name="wood", type="2d", file=str(wood_texture()))
    ET.SubElement(asset, "material", name="wood", texture="wood", specular="0.1", shininess="0.2")
    ET.SubElement(asset, "texture", name="cloth", type="2d", file=str(cloth_texture()))
    ET.SubElement(asset, "material", name="cloth", texture="cloth", specular="0")


def _add_table(world: ET.Element) -> None:
    (x0, x1), (y0, y1) = TABLE_X_M, TABLE_Y_M
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    half = ((x1 - x0) / 2, (y1 - y0) / 2)
    ET.SubElement(
        world,
        "geom",
        name="table",
        type="box",
        pos=_numbers((*middle, TABLE_TOP_M - 0.02)),
        size=_numbers((*half, 0.02)),
        group="3",
        friction="0.8 0.005 0.0001",
    )
    ET.SubElement(
        world,
        "geom",
        name="table_top",
        type="box",
        pos=_numbers((*middle, TABLE_TOP_M - 0.015)),
        size=_numbers((*half, 0.0149)),
        material="wood",
        contype="0",
        conaffinity="0",
        group="1",
    )
    for sx in (x0 + 0.05, x1 - 0.05):
        for sy in (y0 + 0.05, y1 - 0.05):
            _visual_box(
                world, f"leg_{sx:.2f}_{sy:.2f}", (sx, sy, -0.39), (0.025, 0.025, 0.35), (0.6, 0.61, 0.63)
            )
    _visual_box(world, "stand", (-0.05, 0.0, -0.37), (0.13, 0.13, 0.37), (0.55, 0.56, 0.58))


def _visual_box(
    world: ET.Element, name: str, pos: Sequence[float], size: Sequence[float], colour: Sequence[float]
) -> None:
    ET.SubElement(
        world,
        "geom",
        name=name,
        type="box",
        pos=_numbers(pos),
        size=_numbers(size),
        rgba=_numbers((*colour, 1)),
        contype="0",
        conaffinity="0",
        group="1",
    )


def _add_camera(world: ET.Element, camera: CameraConfig) -> None:
    T = camera.T_base_camera
    ET.SubElement(
        world,
        "camera",
        name=CAMERA_NAME,
        pos=_numbers(camera.position_m),
        xyaxes=_numbers((*T[:3, 0], *-T[:3, 1])),
        fovy=f"{camera.vertical_fov_deg:.9g}",
    )
