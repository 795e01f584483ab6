"""Objects that lie loose on the table: their MJCF, their places, what touches what."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from glue_perception.geometry import make_transform, matrix_from_quaternion, quaternion_from_matrix

ROBOT_PREFIX = "robot0_"
FINGER_JOINTS = (f"{ROBOT_PREFIX}finger_joint1", f"{ROBOT_PREFIX}finger_joint2")
HAND_BODY = f"{ROBOT_PREFIX}hand"
TABLE_GEOM = "table"

POSE_NUMBERS = 7

CONTACT: dict[str, Any] = {
    "condim": "4",
    "friction": "1 0.01 0.0005",
    # As stiff as the time step of a millisecond allows with some margin: a grasp of 20 N dents by microns.
    "solref": "0.004 1",
    "solimp": "0.95 0.99 0.001",
    # The objects' values hold for all their contacts, whatever the finger or the table says.
    "priority": "1",
}
"""Painted wood against wood and rubber; the fourth direction lets the finger pads resist a turn."""

OPEN_MARGIN_M = 0.01
"""A gripper that is wider than the object by this much has let go."""

AWAY_M = 0.04
"""Least distance of the fingers' middle from an object that counts as left alone."""

REST_M_S = 0.01
REST_RAD_S = 0.2
"""Slower than this, per axis, is at rest."""


def child_of(scene: ET.Element, tag: str) -> ET.Element:
    """Return that section of an MJCF, appended if missing."""
    section = scene.find(tag)
    return section if section is not None else ET.SubElement(scene, tag)


def add_free_body(scene: ET.Element, name: str, position_m: tuple[float, float, float]) -> ET.Element:
    """Append an empty body with a free joint `<name>_joint` to the worldbody, at rest there, and return it."""
    body = ET.SubElement(child_of(scene, "worldbody"), "body", name=name, pos=numbers(position_m))
    ET.SubElement(body, "freejoint", name=f"{name}_joint")
    return body


def numbers(values: Sequence[float] | Float[np.ndarray, "..."]) -> str:
    """Return an MJCF attribute's text."""
    return " ".join(f"{float(v):.9g}" for v in np.ravel(values))


def upright(x_m: float, y_m: float, z_m: float, yaw_rad: float) -> Float[np.ndarray, "4 4"]:
    """Return the pose of an object whose z points up."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return make_transform(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), np.array([x_m, y_m, z_m]))


def sample_apart(
    rng: np.random.Generator,
    area: tuple[tuple[float, float], tuple[float, float]],
    other_area: tuple[tuple[float, float], tuple[float, float]],
    apart_m: float,
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Return two places (x, y), each uniform in its area ((x0, x1), (y0, y1)) given that they are that far apart."""
    while True:
        first, second = (
            rng.uniform(*np.transpose(place))  # lows, highs
            for place in (area, other_area)
        )
        if float(np.linalg.norm(first - second)) >= apart_m:
            return first, second


def transforms(poses: Float[np.ndarray, "k"]) -> list[Float[np.ndarray, "4 4"]]:
    """Return the poses of MuJoCo's free joints (x y z, then the quaternion with w first), one after the other."""
    rows = poses.reshape(-1, POSE_NUMBERS)
    return [make_transform(matrix_from_quaternion(row[[4, 5, 6, 3]]), row[:3]) for row in rows]


class FreeBodies:
    """Where a compiled model keeps some loose objects and the robot's hand; looked up once, read at 1 kHz.

    Args:
        model: Compiled MuJoCo model.
        names: Of the bodies, as in `add_free_body`.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self.model = model
        joints = [model.joint(f"{name}_joint") for name in names]
        self._qpos = [int(j.qposadr[0]) for j in joints]
        self._dof = [int(j.dofadr[0]) for j in joints]
        self.bodies = [int(model.body(name).id) for name in names]
        self._places = np.concatenate([np.arange(a, a + POSE_NUMBERS) for a in self._qpos])
        self._speeds = np.concatenate([np.arange(a, a + 6) for a in self._dof])
        self._fingers = [int(model.joint(name).qposadr[0]) for name in FINGER_JOINTS]
        self.hand = int(model.body(HAND_BODY).id)
        robot = [b for b in range(model.nbody) if model.body(b).name.startswith(ROBOT_PREFIX)]
        self._is_robot = np.zeros(model.nbody, bool)
        self._is_robot[robot] = True
        self._body_of = model.geom_bodyid.copy()
        self.table = int(model.geom(TABLE_GEOM).id)

    def place(self, data: Any, poses: Sequence[Float[np.ndarray, "4 4"]]) -> None:
        """Put the objects there, at rest."""
        for qpos, dof, T in zip(self._qpos, self._dof, poses, strict=True):
            x, y, z, w = quaternion_from_matrix(T[:3, :3])
            data.qpos[qpos : qpos + POSE_NUMBERS] = (*T[:3, 3], w, x, y, z)
            data.qvel[dof : dof + 6] = 0.0

    def poses(self, data: Any) -> Float[np.ndarray, "k"]:
        """Return MuJoCo's seven numbers of each object; see `transforms`."""
        poses: np.ndarray = data.qpos[self._places]
        return poses

    def height_m(self, data: Any, index: int) -> float:
        """Return how high the origin of one object is."""
        return float(data.qpos[self._qpos[index] + 2])

    def at_rest(self, data: Any, linear_m_s: float, angular_rad_s: float) -> bool:
        """Return whether no object moves or turns faster than that, per axis."""
        speeds = np.abs(data.qvel[self._speeds]).reshape(-1, 6)
        return bool(speeds[:, :3].max() < linear_m_s and speeds[:, 3:].max() < angular_rad_s)

    def gripper_width_m(self, data: Any) -> float:
        """Return the opening between the finger tips."""
        return float(data.qpos[self._fingers[0]] + data.qpos[self._fingers[1]])

    def tool_m(self, data: Any, tcp_offset_m: float) -> Float[np.ndarray, "3"]:
        """Return the point between the finger tips, that far from the hand's flange, base frame."""
        rotation = data.xmat[self.hand].reshape(3, 3)
        point: np.ndarray = data.xpos[self.hand] + tcp_offset_m * rotation[:, 2]
        return point

    def touching(self, data: Any, body: int) -> _Contacts:
        """Return what that body touches."""
        pairs = data.contact.geom
        bodies = self._body_of[pairs]
        own = bodies == body
        involved = own.any(axis=1)
        others = np.where(own[involved], pairs[involved][:, ::-1], pairs[involved])[own[involved]]
        return _Contacts(others, self._body_of[others], self._is_robot[self._body_of[others]])


class _Contacts:
    """The other sides of one body's contacts."""

    def __init__(self, geoms: np.ndarray, bodies: np.ndarray, is_robot: Bool[np.ndarray, "contacts"]) -> None:
        self._geoms, self._bodies = geoms, bodies
        self.robot = bool(is_robot.any())

    def has_body(self, body: int) -> bool:
        """Return whether that body is among them."""
        return bool((self._bodies == body).any())

    def has_geom(self, geom: int) -> bool:
        """Return whether that geom is among them."""
        return bool((self._geoms == geom).any())
