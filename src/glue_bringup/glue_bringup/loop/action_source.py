"""Who decides the next actions: the learnt policy or the scripted expert, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.experts.base import Expert, ExpertAction
from glue_perception.geometry import rotation_6d_from_matrix
from glue_perception.types import ActionChunk, Observation
from glue_policy.runner import PolicyRunner

NOISE_TIME_CONSTANT_S = 0.4
"""Disturbances last about as long as a human correction, so that the recovery spans several actions."""


@dataclass(frozen=True, eq=False)
class Decision:
    """What to execute, and what a demonstration records for this instant (horizon 1), if this is one."""

    chunk: ActionChunk
    demonstrated: ActionChunk | None = None


class ActionSource(Protocol):
    """Decides at the policy's rate. `reset` begins an episode; one thread calls it at a time."""

    def reset(self, observation: Observation) -> None:
        """Begin an episode with its first observation; may take its time, as the arm is not yet under control."""
        ...

    def decide(self, observation: Observation) -> Decision:
        """Return the next actions."""
        ...

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Take note that the chunk of the observation at `stamp_ns` took over at `now_ns`. Any thread."""
        ...

    def note_held(self, now_ns: int) -> None:
        """Take note that the arm does not do now what the chunks say: held, or the last one refused. Any thread."""
        ...


class PolicySource:
    """The learnt policy.

    Args:
        runner: Of the episode.
        frozen: To repeat a recorded episode: how many actions of each chunk, by stamp, were taken over from the one
            before.
    """

    def __init__(self, runner: PolicyRunner, frozen: Mapping[int, int] | None = None) -> None:
        self._runner = runner
        self._frozen = frozen if frozen is not None else {}

    def reset(self, observation: Observation) -> None:
        """Forget the episode before and get ready for this many key-patches."""
        self._runner.warm_up(len(observation.key_patches))

    def decide(self, observation: Observation) -> Decision:
        """Return the policy's chunk."""
        return Decision(self._runner.infer(observation, self._frozen.get(observation.stamp_ns)))

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Let the runner measure how long a chunk takes to come into force."""
        self._runner.note_in_force(stamp_ns, now_ns)

    def note_held(self, now_ns: int) -> None:
        """Let the runner begin its next chunk afresh instead of going on from one that did not run."""
        self._runner.note_held(now_ns)


class ExpertSource:
    """The scripted expert, optionally disturbed so that demonstrations hold recoveries.

    The disturbance is a slowly varying random offset of the executed position; what is recorded is the expert's
    own action, computed from the disturbed state (DART, Laskey et al. 2017).

    Args:
        expert: Computes a target from the robot's state and the simulator's truth.
        truth: Returns the simulator's truth now.
        dt_s: Time between decisions.
        noise_m: Standard deviation of the disturbance per axis; 0 for none.
        seed: Seeds the disturbance and the expert.
    """

    def __init__(
        self, expert: Expert, truth: Callable[[], object], dt_s: float, noise_m: float, seed: int
    ) -> None:
        self._expert = expert
        self._truth = truth
        self._dt_s = dt_s
        self._noise_m = noise_m
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._offset_m = np.zeros(3)

    def reset(self, observation: Observation) -> None:
        """Begin an episode; the target in force is the current pose."""
        state = observation.robot_state
        self._rng = np.random.default_rng(self._seed)
        self._expert.reset(self._seed)
        self._offset_m = np.zeros(3)
        self._in_force = ExpertAction(state.T_base_ee, state.gripper_width_m)
        self._executed_position_m = state.T_base_ee[:3, 3]

    def decide(self, observation: Observation) -> Decision:
        """Return the step from the target in force to the next one, held for one more period."""
        action = self._expert.action(observation.robot_state, self._truth())
        self._disturb()
        target_m = action.T_base_ee[:3, 3] + self._offset_m
        chunk = self._chunk(
            observation.stamp_ns,
            np.stack([self._executed_position_m, target_m, target_m]),
            (self._in_force, action, action),
        )
        clean = self._in_force
        demonstrated = self._chunk(observation.stamp_ns, clean.T_base_ee[None, :3, 3], (clean,))
        self._in_force, self._executed_position_m = action, target_m
        return Decision(chunk, demonstrated)

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Do nothing: the expert's actions follow each other without a seam."""

    def note_held(self, now_ns: int) -> None:
        """Do nothing: the expert looks at the arm."""

    def _disturb(self) -> None:
        if self._noise_m == 0.0:
            return
        keep = np.exp(-self._dt_s / NOISE_TIME_CONSTANT_S)
        step = self._noise_m * np.sqrt(1.0 - keep**2)
        self._offset_m = keep * self._offset_m + step * self._rng.standard_normal(3)

    def _chunk(
        self, stamp_ns: int, position_m: Float[np.ndarray, "h 3"], actions: tuple[ExpertAction, ...]
    ) -> ActionChunk:
        rotations = np.stack([a.T_base_ee[:3, :3] for a in actions])
        return ActionChunk(
            stamp_ns=stamp_ns,
            dt_s=self._dt_s,
            position_m=position_m,
            rotation_6d=rotation_6d_from_matrix(rotations),
            gripper_width_m=np.array([a.gripper_width_m for a in actions]),
        )
