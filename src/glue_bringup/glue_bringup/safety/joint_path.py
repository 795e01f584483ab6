"""The joints beneath a commanded tool pose: one step, and the whole way to rest at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_bringup.safety.config import JointGuardConfig
from glue_bringup.safety.kinematic_model import KinematicModel
from glue_bringup.safety.motion_limiter import MotionState
from glue_bringup.safety.ramp import Ramp

NEWTON_STEPS = 2
"""They leave less than a micrometre at any speed that the tables allow."""

_LEAST_EIGENVALUE = 1e-6
_EYE = np.eye(6)


@dataclass(frozen=True, eq=False)
class JointMotion:
    """The joints at one instant.

    Attributes:
        position: In rad.
        velocity: In rad/s.
        acceleration: In rad/s^2.
        null: Share of the velocity that turns the elbow and leaves the tool alone, in rad/s.
        jacobian: From joint speeds to the tool's velocity [m/s, rad/s], base frame.
        inverse: Its pseudo-inverse.
        least_singular_value: Of the Jacobian.
    """

    position: Float[np.ndarray, "7"]
    velocity: Float[np.ndarray, "7"]
    acceleration: Float[np.ndarray, "7"]
    null: Float[np.ndarray, "7"]
    jacobian: Float[np.ndarray, "6 7"]
    inverse: Float[np.ndarray, "7 6"]
    least_singular_value: float


@dataclass(frozen=True, eq=False)
class JointRamp:
    """The joints at the points of a `Ramp`; shapes and units as in `JointMotion`, one row per point.

    Where all singular values are at least `min_singular_value`, that bound stands for the least of them.
    """

    position: Float[np.ndarray, "n 7"]
    velocity: Float[np.ndarray, "n 7"]
    acceleration: Float[np.ndarray, "n 7"]
    least_singular_value: Float[np.ndarray, "n"]


class JointFollower:
    """Differential inverse kinematics with the least joint motion, the elbow drawn slowly to a given one.

    Args:
        config: How strongly the elbow is drawn.
        model: Kinematics.
    """

    def __init__(self, config: JointGuardConfig, model: KinematicModel) -> None:
        self._config = config
        self._model = model
        self._least = max(config.min_singular_value, float(np.sqrt(_LEAST_EIGENVALUE)))

    def resting(self, position: Float[np.ndarray, "7"]) -> JointMotion:
        """Return the joints at rest."""
        jacobian = self._model.jacobian(position)
        inverse, least = _inverse(jacobian)
        return JointMotion(position, np.zeros(7), np.zeros(7), np.zeros(7), jacobian, inverse, float(least))

    def follow(
        self, start: JointMotion, step: MotionState, dt_s: float, elbow_rad: Float[np.ndarray, "7"] | None
    ) -> JointMotion:
        """Return the joints after a step of the tool: two Newton steps from where the speed of before leads to.

        Args:
            start: Before.
            step: The tool after it.
            dt_s: Time of the step.
            elbow_rad: Joints whose elbow it is drawn to; None: the elbow comes to rest.
        """
        null = self._slower(start.null, dt_s) if elbow_rad is None else self._elbow(start, elbow_rad, dt_s)
        position = start.position + start.velocity * dt_s
        for _ in range(NEWTON_STEPS):
            position = position + start.inverse @ _error(step, *self._model.tool_pose(position))
        jacobian = self._model.jacobian(position)
        inverse, least = _inverse(jacobian)
        velocity = inverse @ (step.twist - jacobian @ null) + null
        acceleration = inverse @ (step.twist_change - self._model.drift(position, velocity))
        if dt_s > 0.0:
            acceleration = acceleration + (null - start.null) / dt_s
        return JointMotion(position, velocity, acceleration, null, jacobian, inverse, float(least))

    def along(self, start: JointMotion, ramp: Ramp) -> JointRamp:
        """Return the joints on the way to rest, all points at once, the elbow coming to rest too.

        One step of the start's Jacobian, then one of each point's own: what is left is of fourth order in the way.
        """
        share, null_way, null_change = self._elbow_to_rest(start.null, ramp.time_s)
        position = start.position + ramp.way @ start.inverse.T + null_way
        jacobian, rotation, position_m = self._model.along(position)
        missing = np.concatenate([ramp.position_m - position_m, _turns(ramp.rotation, rotation)], axis=1)
        position = position + _least_motion(jacobian, missing)
        jacobian, _, _ = self._model.along(position)
        inverse, least = _inverses(jacobian, self._least)
        null = share[:, None] * start.null
        twist = ramp.twist - (jacobian @ null[:, :, None])[:, :, 0]
        velocity = (inverse @ twist[:, :, None])[:, :, 0] + null
        change = ramp.twist_change - drifts(jacobian, velocity)
        acceleration = (inverse @ change[:, :, None])[:, :, 0] + null_change
        return JointRamp(position, velocity, acceleration, least)

    def _elbow(
        self, start: JointMotion, elbow_rad: Float[np.ndarray, "7"], dt_s: float
    ) -> Float[np.ndarray, "7"]:
        """Return the elbow's velocity towards that of other joints, slow and without a step."""
        config = self._config
        pull = config.elbow_rate_s * (elbow_rad - start.position)
        pull = pull - start.inverse @ (start.jacobian @ pull)
        size = _size(pull)
        if size > config.elbow_speed_rad_s:
            pull = pull * (config.elbow_speed_rad_s / size)
        return _towards(start.null, pull, config.elbow_acceleration_rad_s2 * dt_s)

    def _slower(self, null: Float[np.ndarray, "7"], dt_s: float) -> Float[np.ndarray, "7"]:
        return _towards(null, np.zeros(7), self._config.elbow_acceleration_rad_s2 * dt_s)

    def _elbow_to_rest(
        self, null: Float[np.ndarray, "7"], time_s: Float[np.ndarray, "n"]
    ) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 7"], Float[np.ndarray, "n 7"]]:
        """Return what share of its velocity the elbow still has, how far it went [rad], and its deceleration."""
        size = _size(null)
        if size == 0.0:
            nothing = np.zeros((len(time_s), 7))
            return np.zeros(len(time_s)), nothing, nothing
        end_s = size / self._config.elbow_acceleration_rad_s2
        spent_s = np.minimum(time_s, end_s)
        share = 1.0 - spent_s / end_s
        way = (spent_s * (1.0 + share) / 2.0)[:, None] * null
        return share, way, np.where(share[:, None] > 0.0, -null / end_s, 0.0)


def _inverse(
    jacobian: Float[np.ndarray, "*n 6 7"],
) -> tuple[Float[np.ndarray, "*n 7 6"], Float[np.ndarray, "*n"]]:
    """Return pseudo-inverse and smallest singular value; directions that are all but lost give no motion."""
    transposed = np.swapaxes(jacobian, -1, -2)
    values, vectors = np.linalg.eigh(jacobian @ transposed)
    inverted = np.where(values > _LEAST_EIGENVALUE, 1.0 / np.maximum(values, _LEAST_EIGENVALUE), 0.0)
    inverse = transposed @ ((vectors * inverted[..., None, :]) @ np.swapaxes(vectors, -1, -2))
    return inverse, np.sqrt(np.maximum(values[..., 0], 0.0))


def _inverses(
    jacobian: Float[np.ndarray, "n 6 7"], least: float
) -> tuple[Float[np.ndarray, "n 7 6"], Float[np.ndarray, "n"]]:
    """Return as `_inverse`, or, where no singular value is below `least`, that bound in the place of the values.

    It is proven by a Cholesky decomposition, which takes a tenth of the time of the singular values themselves.
    """
    transposed = np.swapaxes(jacobian, 1, 2)
    gram = jacobian @ transposed
    try:
        np.linalg.cholesky(gram - least**2 * _EYE)
    except np.linalg.LinAlgError:
        return _inverse(jacobian)
    return transposed @ np.linalg.inv(gram), np.full(len(jacobian), least)


def drifts(
    jacobian: Float[np.ndarray, "n 6 7"], joint_velocity_rad_s: Float[np.ndarray, "n 7"]
) -> Float[np.ndarray, "n 6"]:
    """Return the tool's accelerations [m/s^2, rad/s^2] that the joints' speeds alone cause, of a serial arm.

    A joint's column turns with all joints before it, and its lever changes with all after it, so that the
    Jacobian's derivative consists of cross products of its own columns.
    """
    parts = jacobian * joint_velocity_rad_s[:, None, :]
    moves, turns = parts[:, :3], parts[:, 3:]
    after = moves.sum(axis=2, keepdims=True) - np.cumsum(moves, axis=2)
    before = np.cumsum(turns, axis=2) - turns
    return np.concatenate(
        [
            _crossed(turns @ np.swapaxes(moves + 2.0 * after, 1, 2)),
            _crossed(before @ np.swapaxes(turns, 1, 2)),
        ],
        axis=1,
    )


def _crossed(products: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    """Return sums of cross products from the sums of the products of their components."""
    skew = products - np.swapaxes(products, 1, 2)
    return np.stack([skew[:, 1, 2], skew[:, 2, 0], skew[:, 0, 1]], axis=1)


def _least_motion(
    jacobian: Float[np.ndarray, "n 6 7"], way: Float[np.ndarray, "n 6"]
) -> Float[np.ndarray, "n 7"]:
    """Return the least joint motions for small ways of the tool."""
    transposed = np.swapaxes(jacobian, 1, 2)
    damped = jacobian @ transposed + _LEAST_EIGENVALUE * _EYE
    motion: np.ndarray = (transposed @ np.linalg.solve(damped, way[:, :, None]))[:, :, 0]
    return motion


def _error(
    step: MotionState, rotation: Float[np.ndarray, "3 3"], position_m: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "6"]:
    """Return the way from a tool pose to the step's; the rotation to first order in its sine."""
    (dx, dy, dz), turn = (step.linear.position - position_m).tolist(), (step.rotation @ rotation.T).tolist()
    return np.array(
        [
            dx,
            dy,
            dz,
            0.5 * (turn[2][1] - turn[1][2]),
            0.5 * (turn[0][2] - turn[2][0]),
            0.5 * (turn[1][0] - turn[0][1]),
        ]
    )


def _turns(
    wanted: Float[np.ndarray, "n 3 3"], rotation: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, "n 3"]:
    """Return the small turns from one row of rotations to another, to first order in their sine."""
    turn = wanted @ np.swapaxes(rotation, 1, 2)
    skew = turn - np.swapaxes(turn, 1, 2)
    return 0.5 * np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)


def _towards(
    now: Float[np.ndarray, "7"], wanted: Float[np.ndarray, "7"], largest: float
) -> Float[np.ndarray, "7"]:
    """Return `wanted`, or the point at most `largest` from `now` on the way to it."""
    way = wanted - now
    size = _size(way)
    return wanted if size <= largest else now + way * (largest / size)


def _size(vector: Float[np.ndarray, "7"]) -> float:
    return float(np.sqrt(vector @ vector))
