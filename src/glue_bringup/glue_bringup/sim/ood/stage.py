"""Draws the twin's pictures under a condition: dresses the scene for a seed, then lights every frame."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from glue_bringup.sim.camera_config import CAMERA_NAME, CameraConfig
from glue_bringup.sim.ood.clutter import Clutter, Placement
from glue_bringup.sim.ood.condition import Condition, ConditionKind
from glue_bringup.sim.ood.distractors import add_distractors
from glue_bringup.sim.ood.foreground import Foreground, HiddenShares, add_foreground
from glue_bringup.sim.ood.party_light import PartyLight
from glue_bringup.sim.ood.task_objects import task_objects
from glue_bringup.sim.rendering import OffscreenRenderer
from glue_bringup.sim.start_state import sample_start
from glue_bringup.sim.tasks.base import Task


def add_condition(scene: ET.Element, world: ET.Element, condition: Condition) -> None:
    """Append to an MJCF scene what a condition needs; nothing of it collides or has a joint.

    Call it after everything else is in the scene: numbers of bodies and geoms then stay those of the plain scene.
    """
    if condition.kind is ConditionKind.CLUTTER:
        add_distractors(scene, world)
    if condition.kind is ConditionKind.OCCLUSION:
        add_foreground(scene, world)


class Picture(NamedTuple):
    """What the camera sees at one instant.

    Attributes:
        rgb: Colour image.
        depth_m: Distance along the camera's axis, if the camera measures it.
    """

    rgb: UInt8[np.ndarray, "height width 3"]
    depth_m: Float32[np.ndarray, "height width"] | None


class Stage:
    """A renderer of one compiled model under one condition.

    Life cycle: built, `begin` for every episode, `close`. Belongs to the thread that built it.

    Args:
        model: From a scene with `add_condition` of the same condition.
        task: Of the scene.
        camera: Of the pictures.
        condition: What to show.

    Raises:
        RenderingError: no OpenGL library works.
    """

    def __init__(self, model: Any, task: Task, camera: CameraConfig, condition: Condition) -> None:
        self._model, self._task = model, task
        self._with_depth = camera.depth
        self._renderer = OffscreenRenderer(model, CAMERA_NAME, camera.width_px, camera.height_px)
        self._clutter: Clutter | None = None
        self._foreground: Foreground | None = None
        self._light: PartyLight | None = None
        if condition.kind is ConditionKind.CLUTTER:
            self._clutter = Clutter(model, task_objects(task, model), camera, condition.distractors)
        elif condition.kind is ConditionKind.OCCLUSION:
            self._foreground = Foreground(model, task_objects(task, model), camera, condition.hidden_share)
        elif condition.kind is ConditionKind.LIGHT:
            self._light = PartyLight(camera, condition.strength, condition.speed_rad_s, condition.fade_in_s)
        self.distractors: tuple[Placement, ...] = ()
        self.hidden: HiddenShares | None = None

    def begin(self, seed: int) -> None:
        """Dress the scene for episode `seed`, from nothing but the seed: whatever the robot does meanwhile."""
        if self._light is not None:
            self._light.begin(seed)
        if self._clutter is None and self._foreground is None:
            return
        data = self._start(seed)
        if self._clutter is not None:
            self.distractors = self._clutter.place(data, data.body("robot0_hand").xpos[:2].copy(), seed)
        if self._foreground is not None:
            # Every placement that is tried moves bodies, so kinematics are worked out anew before drawing.
            self.hidden = self._foreground.place(lambda groups: self._segment(data, groups), seed)

    def render(self, data: Any, time_ns: int) -> Picture:
        """Return the picture of the state whose kinematics are in `data`, at a time since the episode's start."""
        if self._light is None and not self._with_depth:
            return Picture(self._renderer.render(data), None)
        rgb, depth_m = self._renderer.render_with_depth(data)
        if self._light is not None:
            rgb = self._light.shine(rgb, depth_m, time_ns)
        return Picture(rgb, depth_m if self._with_depth else None)

    def close(self) -> None:
        """Free the context. Safe to call twice."""
        self._renderer.close()

    def _segment(self, data: Any, groups: Any) -> Any:
        import mujoco

        mujoco.mj_kinematics(self._model, data)
        return self._renderer.segment(data, groups)

    def _start(self, seed: int) -> Any:
        """Return the kinematics of the episode's first instant."""
        import mujoco

        model, start = self._model, sample_start(seed)
        data = mujoco.MjData(model)
        self._task.apply_layout(model, data, self._task.sample_layout(seed))
        for k, angle in enumerate(start.joint_position_rad, start=1):
            data.joint(f"robot0_fr3_joint{k}").qpos[0] = angle
        for k in (1, 2):
            data.joint(f"robot0_finger_joint{k}").qpos[0] = start.gripper_width_m / 2
        mujoco.mj_forward(model, data)
        return data
