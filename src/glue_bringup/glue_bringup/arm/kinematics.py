"""Joint kinematics of Panda and FR3 on Pinocchio, for checks that need no robot."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits
from glue_perception.errors import MissingDependencyError

_QUARTER = np.pi / 2
JOINT_ORIGINS: tuple[tuple[float, tuple[float, float, float]], ...] = (
    (0.0, (0.0, 0.0, 0.333)),
    (-_QUARTER, (0.0, 0.0, 0.0)),
    (_QUARTER, (0.0, -0.316, 0.0)),
    (_QUARTER, (0.0825, 0.0, 0.0)),
    (-_QUARTER, (-0.0825, 0.384, 0.0)),
    (_QUARTER, (0.0, 0.0, 0.0)),
    (_QUARTER, (0.088, 0.0, 0.0)),
)
"""Of each joint in the frame of the one before: turn about x [rad], then translation [m] of its origin. Both robots
have the same link lengths (Franka Control Interface documentation, "Denavit-Hartenberg parameters")."""

FLANGE_M = 0.107
HAND_TURN_RAD = -np.pi / 4

_Capsule = tuple[str, int, tuple[float, float, float], str, float, float]
CAPSULES: tuple[_Capsule, ...] = (
    # name, joint that carries it (0: base), centre [m], axis, radius [m], length of the straight part [m]
    ("link0", 0, (-0.075, 0.0, 0.06), "x", 0.06, 0.03),
    ("link1", 1, (0.0, 0.0, -0.1915), "z", 0.06, 0.283),
    ("link2", 2, (0.0, 0.0, 0.0), "z", 0.06, 0.12),
    ("link3", 3, (0.0, 0.0, -0.145), "z", 0.06, 0.15),
    ("link4", 4, (0.0, 0.0, 0.0), "z", 0.06, 0.12),
    ("link5", 5, (0.0, 0.0, -0.26), "z", 0.06, 0.10),
    ("link5_front", 5, (0.0, 0.08, -0.13), "z", 0.025, 0.14),
    ("link6", 6, (0.0, 0.0, -0.03), "z", 0.05, 0.08),
    ("link7", 7, (0.0, 0.0, 0.01), "z", 0.04, 0.14),
    ("hand", 7, (0.0, 0.0, FLANGE_M + 0.04), "y", 0.04, 0.10),
)
"""The maker's capsules for self-collision (`franka_description`, Apache-2.0), the fingers left out. The hand's axis
is turned by `HAND_TURN_RAD` about the flange."""

PAIRS = (
    *((fixed, moving) for fixed in ("link0", "link1", "link2") for moving in ("link6", "link7", "hand")),
    ("link0", "link5"),
    ("link1", "link5"),
    ("link3", "link7"),
    ("link3", "hand"),
    ("link4", "hand"),
    ("link5_front", "hand"),
)
"""What can meet. Neighbours cannot, within the joints' ranges."""


class ArmKinematics:
    """Pose, Jacobian and clearances of the arm at given joint angles. Not thread-safe; microseconds per call.

    Args:
        limits: Which robot; its table travels with the model, so that the two cannot be mixed.

    Attributes:
        limits: As given.
        reach_m: For each joint, no point of a capsule that it turns moves farther than this per radian.

    Raises:
        MissingDependencyError: Pinocchio is not installed.
    """

    def __init__(self, limits: RobotLimits) -> None:
        try:
            import coal
            import pinocchio
        except ImportError as error:
            raise MissingDependencyError("Pinocchio is not installed; run: pip install pin coal") from error
        self.limits = limits
        self._pin = pinocchio
        self._model: Any = pinocchio.Model()
        joint = 0
        for number, (turn, origin) in enumerate(JOINT_ORIGINS, start=1):
            placement = pinocchio.SE3(_turn_x(turn), np.array(origin))
            joint = self._model.addJoint(joint, pinocchio.JointModelRZ(), placement, f"joint{number}")
        flange = pinocchio.SE3(np.eye(3), np.array([0.0, 0.0, FLANGE_M]))
        kind = pinocchio.FrameType.OP_FRAME
        self._flange = flange
        self._tool = self._model.addFrame(pinocchio.Frame("tool", joint, 0, flange, kind))
        self._data: Any = self._model.createData()
        self._geometry: Any = pinocchio.GeometryModel()
        self._add_capsules(coal)
        self._geometry_data: Any = self._geometry.createData()
        self._zero = np.zeros(7)
        self.reach_m = np.array(_reach_m())

    def _add_capsules(self, coal: Any) -> None:
        pin, ids = self._pin, {}
        axes = {"x": _turn_y(_QUARTER), "y": _turn_z(HAND_TURN_RAD) @ _turn_x(_QUARTER), "z": np.eye(3)}
        for name, joint, centre, axis, radius, length in CAPSULES:
            placement = pin.SE3(axes[axis], np.array(centre))
            body = pin.GeometryObject(name, joint, joint, placement, coal.Capsule(radius, length))
            ids[name] = self._geometry.addGeometryObject(body)
        for first, second in PAIRS:
            self._geometry.addCollisionPair(pin.CollisionPair(ids[first], ids[second]))

    def flange_pose(self, joint_position_rad: Float[np.ndarray, "7"]) -> Float[np.ndarray, "4 4"]:
        """Return T_base_flange."""
        self._pin.forwardKinematics(self._model, self._data, joint_position_rad)
        pose: np.ndarray = (self._data.oMi[7] * self._flange).homogeneous
        return pose

    def set_tool(self, T_flange_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set where the tool centre point is on the flange; the flange itself at first."""
        tool = self._pin.SE3(np.array(T_flange_ee[:3, :3]), np.array(T_flange_ee[:3, 3]))
        self._model.frames[self._tool].placement = self._flange * tool

    def tool_pose(
        self, joint_position_rad: Float[np.ndarray, "7"]
    ) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
        """Return R_base_ee and the position [m] of the tool centre point."""
        self._pin.forwardKinematics(self._model, self._data, joint_position_rad)
        frame = self._pin.updateFramePlacement(self._model, self._data, self._tool)
        return frame.rotation.copy(), frame.translation.copy()

    def jacobian(self, joint_position_rad: Float[np.ndarray, "7"]) -> Float[np.ndarray, "6 7"]:
        """Return the map from joint speeds [rad/s] to the tool's linear [m/s] and angular [rad/s] velocity."""
        world = self._pin.LOCAL_WORLD_ALIGNED
        jacobian: np.ndarray = self._pin.computeFrameJacobian(
            self._model, self._data, joint_position_rad, self._tool, world
        )
        return jacobian

    def drift(
        self, joint_position_rad: Float[np.ndarray, "7"], joint_velocity_rad_s: Float[np.ndarray, "7"]
    ) -> Float[np.ndarray, "6"]:
        """Return the tool's acceleration [m/s^2, rad/s^2] that the joints' speeds alone cause."""
        pin, model, data = self._pin, self._model, self._data
        pin.forwardKinematics(model, data, joint_position_rad, joint_velocity_rad_s, self._zero)
        drift: np.ndarray = pin.getFrameClassicalAcceleration(
            model, data, self._tool, pin.LOCAL_WORLD_ALIGNED
        ).vector.copy()
        return drift

    def along(
        self, joint_position_rad: Float[np.ndarray, "n 7"]
    ) -> tuple[Float[np.ndarray, "n 6 7"], Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
        """Return Jacobians, R_base_ee and tool positions [m] at many joint positions."""
        pin, model, data, tool = self._pin, self._model, self._data, self._tool
        count, world = len(joint_position_rad), pin.LOCAL_WORLD_ALIGNED
        jacobian, rotation = np.empty((count, 6, 7)), np.empty((count, 3, 3))
        position_m = np.empty((count, 3))
        for k, q in enumerate(joint_position_rad):
            jacobian[k] = pin.computeFrameJacobian(model, data, q, tool, world)
            frame = data.oMf[tool]
            rotation[k], position_m[k] = frame.rotation, frame.translation
        return jacobian, rotation, position_m

    def clearance_m(self, joint_position_rad: Float[np.ndarray, "7"]) -> float:
        """Return the smallest distance between links that can meet; negative where they overlap."""
        pin = self._pin
        pin.updateGeometryPlacements(
            self._model, self._data, self._geometry, self._geometry_data, joint_position_rad
        )
        nearest = pin.computeDistances(self._geometry, self._geometry_data)
        return float(self._geometry_data.distanceResults[nearest].min_distance)

    def lowest_m(self, joint_position_rad: Float[np.ndarray, "7"]) -> float:
        """Return the lowest height of forearm, wrist and palm above the base's plane; fingers are not counted."""
        self._pin.forwardKinematics(self._model, self._data, joint_position_rad)
        lowest = np.inf
        for body in list(self._geometry.geometryObjects)[4:]:
            placed = self._data.oMi[body.parentJoint] * body.placement
            half = abs(placed.rotation[2, 2]) * body.geometry.halfLength
            lowest = min(lowest, placed.translation[2] - half - body.geometry.radius)
        return float(lowest)


def _reach_m() -> list[float]:
    """Return, for each joint, how far from its origin a point of a capsule beyond it can be in any posture [m]."""
    reach_m, beyond_m = [], 0.0
    for joint in range(len(JOINT_ORIGINS), 0, -1):
        own = [
            float(np.linalg.norm(centre)) + length / 2 + radius
            for _, carrier, centre, _, radius, length in CAPSULES
            if carrier == joint
        ]
        reach_m.append(max([beyond_m, *own]))
        beyond_m = reach_m[-1] + float(np.linalg.norm(JOINT_ORIGINS[joint - 1][1]))
    return reach_m[::-1]


def _turn_x(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _turn_y(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _turn_z(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
