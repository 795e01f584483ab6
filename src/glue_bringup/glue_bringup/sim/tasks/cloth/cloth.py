"""The cloth of a compiled model: where it is, what forces it feels beside MuJoCo's own."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from glue_bringup.sim.impedance import TCP_OFFSET_M
from glue_bringup.sim.tasks.cloth.config import ClothConfig, PinchConfig
from glue_bringup.sim.tasks.cloth.layers import Layers
from glue_bringup.sim.tasks.cloth.mjcf import PINCH_NUMBERS

LATTICE = 4
"""Points per cell edge at which cloth can be held: a fine enough set of its material points."""


class Cloth:
    """The cloth in a compiled model: places, forces between layers, the pinch.

    The state of an episode is in MuJoCo's data, the pinch in its `userdata`; `place` begins a new one.

    Args:
        model: Compiled MuJoCo model of a scene with `add_cloth` and franky-sim's robot 0.
        config: As in `add_cloth`.
        pinch: When the fingers hold it.
    """

    def __init__(self, model: Any, config: ClothConfig, pinch: PinchConfig | None = None) -> None:
        self.model, self.config = model, config
        self.pinch = pinch if pinch is not None else PinchConfig()
        bodies = [model.body(f"{config.name}_{k}") for k in range(config.count**2)]
        self._rest = np.array([body.pos for body in bodies])
        joint = int(bodies[0].jntadr[0])
        qpos, dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
        self._qpos, self._dof = slice(qpos, qpos + self._rest.size), slice(dof, dof + self._rest.size)
        model.dof_damping[self._dof] = config.air_damping_ns_m
        self._hand = int(model.body("robot0_hand").id)
        fingers = [model.joint(f"robot0_finger_joint{k}") for k in (1, 2)]
        self._finger_qpos = [int(j.qposadr[0]) for j in fingers]
        self._finger_dof = [int(j.dofadr[0]) for j in fingers]
        self._layers = Layers(config)

    def place(self, data: Any, points_m: Float[np.ndarray, "v 3"]) -> None:
        """Put the vertices there, base frame, at rest and held by nobody."""
        data.qpos[self._qpos] = (points_m - self._rest).ravel()
        data.qvel[self._dof] = 0.0
        data.qfrc_applied[self._dof] = 0.0
        data.userdata[:PINCH_NUMBERS] = 0.0
        self._layers.forget()

    def points_m(self, data: Any) -> Float[np.ndarray, "v 3"]:
        """Return where the vertices are, base frame."""
        points: np.ndarray = self._rest + data.qpos[self._qpos].reshape(-1, 3)
        return points

    def speed_m_s(self, data: Any) -> float:
        """Return how fast the fastest vertex moves along an axis."""
        return float(np.abs(data.qvel[self._dof]).max())

    def held(self, data: Any) -> bool:
        """Return whether the fingers hold it."""
        return bool(data.userdata[0] > 0.0)

    def gripper_width_m(self, data: Any) -> float:
        """Return the opening between the finger tips."""
        return float(data.qpos[self._finger_qpos[0]] + data.qpos[self._finger_qpos[1]])

    def tool_m(self, data: Any) -> Float[np.ndarray, "3"]:
        """Return the tool centre point, base frame."""
        point: np.ndarray = data.xpos[self._hand] + TCP_OFFSET_M * data.xmat[self._hand].reshape(3, 3)[:, 2]
        return point

    def apply(self, data: Any) -> None:
        """Set this step's forces on the cloth: between its layers and from the fingers."""
        points = self.points_m(data)
        velocity = data.qvel[self._dof].reshape(-1, 3)
        force = self._layers.forces(data.time, points, velocity)
        self._update_pinch(data, points)
        if self.held(data):
            self._pull(data, points, velocity, force)
        data.qfrc_applied[self._dof] = force.ravel()

    def _update_pinch(self, data: Any, points: Float[np.ndarray, "v 3"]) -> None:
        pinch, width = self.pinch, self.gripper_width_m(data)
        if self.held(data):
            if width > pinch.open_m:
                data.userdata[0] = 0.0
            return
        speed = -float(data.qvel[self._finger_dof[0]] + data.qvel[self._finger_dof[1]])
        if width > pinch.close_m or speed < pinch.closing_m_s:
            return
        rotation = data.xmat[self._hand].reshape(3, 3)
        index, weight = self._lattice
        in_hand = (np.einsum("lk,lkd->ld", weight, points[index]) - self.tool_m(data)) @ rotation
        x, y, z = np.abs(in_hand[:, 0]), np.abs(in_hand[:, 1]), in_hand[:, 2]
        between = (x < pinch.pad_half_m) & (y < width / 2 + pinch.beside_m)
        between &= (z > -pinch.above_m) & (z < pinch.below_m)
        if not between.any():
            return
        nearest = int(np.argmin(np.where(between, x + y, np.inf)))
        # The pads meet in the middle of the opening and take the cloth there.
        data.userdata[:PINCH_NUMBERS] = (1 + nearest, in_hand[nearest, 0], 0.0, in_hand[nearest, 2])

    def _pull(
        self,
        data: Any,
        points: Float[np.ndarray, "v 3"],
        velocity: Float[np.ndarray, "v 3"],
        force: Float[np.ndarray, "v 3"],
    ) -> None:
        index, weight = (table[int(data.userdata[0]) - 1] for table in self._lattice)
        goal = self.tool_m(data) + data.xmat[self._hand].reshape(3, 3) @ data.userdata[1:PINCH_NUMBERS]
        stretch, speed = goal - weight @ points[index], weight @ velocity[index]
        pull = self.pinch.stiffness_n_m * stretch - self.pinch.damping_ns_m * speed
        force[index] += weight[:, None] * pull

    @cached_property
    def _lattice(self) -> tuple[Int[np.ndarray, "l 4"], Float[np.ndarray, "l 4"]]:
        """Material points by the four vertices of their cell and bilinear weights."""
        n, fine = self.config.count, LATTICE * (self.config.count - 1) + 1
        place = np.arange(fine) / LATTICE
        cell = np.minimum(place.astype(int), n - 2)
        share = place - cell
        i, j = (axis.ravel() for axis in np.meshgrid(cell, cell, indexing="ij"))
        a, b = (axis.ravel() for axis in np.meshgrid(share, share, indexing="ij"))
        index = np.stack([i * n + j, i * n + j + 1, (i + 1) * n + j, (i + 1) * n + j + 1], axis=1)
        weight = np.stack([(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b], axis=1)
        return index, weight
