"""The control step that all hosts share: the supervisor's command goes to arm, gripper and record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.base import ArmDriver
from glue_bringup.gripper.base import Gripper
from glue_bringup.safety.chunk_executor import SeamJump
from glue_bringup.safety.reasons import Reason
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_perception.types import ActionChunk, RobotState


class ControlRecord(Protocol):
    """Where control writes down what it did: an `EpisodeRecorder`, or the topics of a graph."""

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"], /) -> None:
        """Take a pose handed to the arm."""
        ...

    def safety_event(self, stamp_ns: int, mode: str, reason: str, /) -> None:
        """Take a decision of the safety supervisor."""
        ...


class ControlStep:
    """One tick of control at 100 Hz or more. One thread.

    Args:
        supervisor: Says what is to be done.
        arm: Does it.
        gripper: Does it.
        recorder: Gets everything, or None.
        in_force: Told of every chunk that takes over: its stamp and the time [ns].
        held: Told the time [ns] whenever the arm does not do what the newest chunk says: it is held, or the chunk was
            refused. Waiting for the first chunk does not count.

    Attributes:
        holds: How often the arm was brought to rest, by reason.
        jumps: Steps of the target from chunk to chunk.
    """

    def __init__(
        self,
        supervisor: SafetySupervisor,
        arm: ArmDriver,
        gripper: Gripper,
        recorder: ControlRecord | None,
        in_force: Callable[[int, int], None] = lambda stamp_ns, now_ns: None,
        held: Callable[[int], None] = lambda now_ns: None,
    ) -> None:
        self._supervisor = supervisor
        self._arm = arm
        self._gripper = gripper
        self._recorder = recorder
        self._in_force = in_force
        self._held = held
        self._kept: Float[np.ndarray, "4 4"] | None = None
        self.holds: Counter[str] = Counter()
        self.jumps: list[SeamJump] = []

    def submit(self, chunk: ActionChunk, now_ns: int) -> None:
        """Hand a chunk to the supervisor."""
        result = self._supervisor.submit(chunk, now_ns)
        if result.accepted:
            self._in_force(chunk.stamp_ns, now_ns)
        else:
            self._held(now_ns)
        if result.jump is not None:
            self.jumps.append(result.jump)

    def tick(self, now_ns: int, state: RobotState) -> SupervisorMode:
        """Ask the supervisor for the command of this instant, pass it on, and return the mode.

        In a dry run the arm is kept where it is at the first tick instead, and the gripper is left alone.

        Raises:
            HardwareError: arm or gripper no longer obeys.
        """
        command = self._supervisor.step(now_ns, state)
        if command.mode is not SupervisorMode.ACTIVE and command.reason != Reason.WAITING:
            self._held(now_ns)
        if self._supervisor.dry_run:
            if self._kept is None:
                self._kept = state.T_base_ee
            self._arm.set_target(self._kept)  # without targets the driver's own time-out would end control
        else:
            self._arm.set_target(command.T_base_ee)
            self._gripper.command(command.gripper_width_m)
        if self._recorder is not None:
            self._recorder.target(now_ns, command.T_base_ee)
        for event in self._supervisor.drain_events():
            if event.mode is SupervisorMode.HOLD_RAMP and event.reason != Reason.WAITING:
                self.holds[event.reason] += 1
            if self._recorder is not None:
                self._recorder.safety_event(event.stamp_ns, event.mode.value, event.reason)
        return command.mode
