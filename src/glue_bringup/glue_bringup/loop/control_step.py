"""The control step that all hosts share: the supervisor's command goes to arm, gripper and record."""

from __future__ import annotations

from collections import Counter

from glue_bringup.arm.base import ArmDriver
from glue_bringup.gripper.base import Gripper
from glue_bringup.recording.episode_recorder import EpisodeRecorder
from glue_bringup.safety.supervisor import SafetySupervisor, SupervisorMode
from glue_bringup.safety.watchdogs import Reason
from glue_perception.types import RobotState


class ControlStep:
    """One tick of control at 100 Hz or more. One thread."""

    def __init__(
        self,
        supervisor: SafetySupervisor,
        arm: ArmDriver,
        gripper: Gripper,
        recorder: EpisodeRecorder | None,
    ) -> None:
        self._supervisor = supervisor
        self._arm = arm
        self._gripper = gripper
        self._recorder = recorder
        self.holds: Counter[str] = Counter()

    def tick(self, now_ns: int, state: RobotState) -> None:
        """Ask the supervisor for the command of this instant and pass it on.

        Raises:
            HardwareError: arm or gripper no longer obeys.
        """
        command = self._supervisor.step(now_ns, state)
        self._arm.set_target(command.T_base_ee)
        self._gripper.command(command.gripper_width_m)
        if self._recorder is not None:
            self._recorder.target(now_ns, command.T_base_ee)
        for event in self._supervisor.drain_events():
            if event.mode is SupervisorMode.HOLD_RAMP and event.reason != Reason.WAITING:
                self.holds[event.reason] += 1
            if self._recorder is not None:
                self._recorder.safety_event(event.stamp_ns, event.mode.value, event.reason)
