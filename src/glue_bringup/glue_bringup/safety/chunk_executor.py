"""From stamped action chunks to a target at any instant."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from glue_bringup.safety.config import ExecutorConfig
from glue_perception.geometry import (
    make_transform,
    matrix_from_rotation_6d,
    matrix_from_rotation_vector,
    rotation_vector,
)
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk


@dataclass(frozen=True, eq=False)
class TargetSample:
    """The target at one instant, in the base frame.

    Attributes:
        T_base_ee: Tool pose.
        linear_velocity_m_s: Mean velocity over the executor's lookahead.
        angular_velocity_rad_s: Mean angular velocity over the lookahead.
        gripper_width_m: The opening in force.
    """

    T_base_ee: Float[np.ndarray, "4 4"]
    linear_velocity_m_s: Float[np.ndarray, "3"]
    angular_velocity_rad_s: Float[np.ndarray, "3"]
    gripper_width_m: float


@dataclass(frozen=True)
class SeamJump:
    """By how much the target steps when one chunk takes over from another; the motion limiter smooths it."""

    position_m: float
    rotation_rad: float


class ChunkExecutor:
    """Holds the newest chunk and samples it.

    Action k is the target in force at `stamp_ns + k * dt_s`, or `lead_s` before. Between two actions the position is
    linear, the rotation turns evenly about one axis (slerp), and the gripper keeps action k until k + 1 is due.
    Actions whose time has passed are thereby dropped, never replayed. A new chunk replaces the old one at once, or
    takes over evenly within `blend_s`; the motion limiter makes the passage smooth. No thread, no clock: the caller
    passes the time.
    """

    def __init__(self, config: ExecutorConfig) -> None:
        self._linger_ns = round(config.linger_s * NS_PER_S)
        self._lookahead_ns = round(config.lookahead_s * NS_PER_S)
        self._blend_ns = round(config.blend_s * NS_PER_S)
        self._lead_ns = round(config.lead_s * NS_PER_S)
        self._last: ChunkExecutor | None = (
            ChunkExecutor(replace(config, blend_s=0.0)) if self._blend_ns else None
        )
        self._taken_over_ns = 0
        self._chunk: ActionChunk | None = None
        self._rotations: Float[np.ndarray, "horizon 3 3"] = np.empty((0, 3, 3))
        self._turns: dict[int, Float[np.ndarray, "3"]] = {}

    @property
    def chunk(self) -> ActionChunk | None:
        """The chunk in force."""
        return self._chunk

    def set_chunk(self, chunk: ActionChunk, now_ns: int) -> SeamJump | None:
        """Put a chunk in force instead of the last one; return the step of the target, None without a last one."""
        before = self._target(now_ns)
        if self._last is not None and before is not None and self._chunk is not None:
            self._last.set_chunk(self._chunk, now_ns)
            self._taken_over_ns = now_ns
        self._chunk = chunk
        self._rotations = matrix_from_rotation_6d(chunk.rotation_6d)
        self._turns = {}
        if before is None or self.is_expired(chunk, now_ns):
            return None
        position_m, rotation, _ = self._pose(chunk, now_ns)
        turn = rotation_vector(rotation @ before[1].T)
        return SeamJump(float(np.linalg.norm(position_m - before[0])), float(np.linalg.norm(turn)))

    def _target(self, now_ns: int) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]] | None:
        """Return position [m] and rotation of `sample`, without the velocities where these cost extra."""
        if self._last is not None:
            sample = self.sample(now_ns)
            return None if sample is None else (sample.T_base_ee[:3, 3], sample.T_base_ee[:3, :3])
        if self._chunk is None or self.is_expired(self._chunk, now_ns):
            return None
        return self._pose(self._chunk, now_ns)[:2]

    def clear(self) -> None:
        """Forget the chunk."""
        self._chunk = None
        if self._last is not None:
            self._last.clear()

    def is_expired(self, chunk: ActionChunk, now_ns: int) -> bool:
        """Return whether a chunk has nothing left to execute."""
        return now_ns > chunk.end_ns + self._linger_ns

    def sample(self, now_ns: int) -> TargetSample | None:
        """Return the target at `now_ns`, or None without a chunk or after its end.

        Before its first action's time a chunk gives its first action.
        """
        newest = self._sample_newest(now_ns)
        elapsed_ns = now_ns - self._taken_over_ns
        if newest is None or self._last is None or not 0 <= elapsed_ns < self._blend_ns:
            return newest
        last = self._last.sample(now_ns)
        return newest if last is None else _blended(last, newest, elapsed_ns / self._blend_ns)

    def _sample_newest(self, now_ns: int) -> TargetSample | None:
        chunk = self._chunk
        if chunk is None or self.is_expired(chunk, now_ns):
            return None
        position_m, rotation, k = self._pose(chunk, now_ns)
        ahead_m, ahead_rotation, _ = self._pose(chunk, now_ns + self._lookahead_ns)
        lookahead_s = self._lookahead_ns / NS_PER_S
        return TargetSample(
            T_base_ee=make_transform(rotation, position_m),
            linear_velocity_m_s=(ahead_m - position_m) / lookahead_s,
            angular_velocity_rad_s=rotation_vector(ahead_rotation @ rotation.T) / lookahead_s,
            gripper_width_m=float(chunk.gripper_width_m[k]),
        )

    def _pose(
        self, chunk: ActionChunk, at_ns: int
    ) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"], int]:
        """Return position [m], rotation and the index of the action in force at one time."""
        last = len(chunk) - 1
        k, rest_ns = divmod(max(0, at_ns + self._lead_ns - chunk.stamp_ns), chunk.dt_ns)
        if k >= last:
            return chunk.position_m[last], self._rotations[last], last
        share = rest_ns / chunk.dt_ns
        position_m = (1.0 - share) * chunk.position_m[k] + share * chunk.position_m[k + 1]
        rotation = self._rotations[k] @ matrix_from_rotation_vector(share * self._turn(k))
        return position_m, rotation, k

    def _turn(self, k: int) -> Float[np.ndarray, "3"]:
        """Return the rotation from action k to k + 1 in the tool's frame [rad], computed once per chunk."""
        if k not in self._turns:
            self._turns[k] = rotation_vector(self._rotations[k].T @ self._rotations[k + 1])
        return self._turns[k]


def _blended(last: TargetSample, newest: TargetSample, share: float) -> TargetSample:
    """Return the target `share` of the way from the last to the newest; the gripper follows the newest."""

    def mixed(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        between: np.ndarray = a + share * (b - a)
        return between

    turn = rotation_vector(newest.T_base_ee[:3, :3] @ last.T_base_ee[:3, :3].T)
    rotation = matrix_from_rotation_vector(share * turn) @ last.T_base_ee[:3, :3]
    return TargetSample(
        T_base_ee=make_transform(rotation, mixed(last.T_base_ee[:3, 3], newest.T_base_ee[:3, 3])),
        linear_velocity_m_s=mixed(last.linear_velocity_m_s, newest.linear_velocity_m_s),
        angular_velocity_rad_s=mixed(last.angular_velocity_rad_s, newest.angular_velocity_rad_s),
        gripper_width_m=newest.gripper_width_m,
    )
