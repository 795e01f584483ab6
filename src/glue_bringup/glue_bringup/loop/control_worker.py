"""Control in a thread of its own: the only one that touches supervisor and arm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from glue_bringup.arm.base import ArmDriver
from glue_bringup.gripper.base import Gripper
from glue_bringup.loop.control_step import ControlRecord, ControlStep
from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.peers import Peers, gone
from glue_bringup.loop.worker import Worker
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_perception.errors import GlueError, HardwareError, NotReadyError
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, KeyPatches, RobotState

REQUEST_TIMEOUT_S = 10.0
FAULT = "fault"
"""Mode of the event that says that the arm is not under control; the supervisor's own modes come besides."""


class ControlReport(ControlRecord, Protocol):
    """Who is told what control does; called in the control thread, must return at once."""

    def state(self, state: RobotState, /) -> None:
        """Take a state that was read."""
        ...

    def in_force(self, chunk_stamp_ns: int, now_ns: int, /) -> None:
        """Take note that the chunk of this stamp has taken over now."""
        ...

    def held(self, now_ns: int, /) -> None:
        """Take note that the arm does not do now what the newest chunk says."""
        ...

    def line(self, line: str, /) -> None:
        """Take what the operator is to read from now on."""
        ...


class ControlWorker(Worker):
    """Runs supervisor, arm and gripper at a fixed rate, whatever else stops.

    The arm is under control from `start` on and holds until an episode begins by `reset` and its first chunk comes:
    a policy that still decides for an episode of before this start moves nothing. A fault of arm or gripper ends
    control and the episode, not the thread: `recover` begins anew. `stop` brings the arm to rest and switches control
    off.

    Args:
        supervisor: Says what is to be done.
        arm: Connected, not started. Must be able to start again.
        gripper: Connected.
        recover_arm: Clears the robot's fault; the gripper's too.
        rate_hz: Of control.
        peers: While one of them is lost the arm is held.
        report: Who is told.
        latencies: Gets durations.
        failed: See `Worker`.
    """

    def __init__(
        self,
        supervisor: SafetySupervisor,
        arm: ArmDriver,
        gripper: Gripper,
        recover_arm: Callable[[], None],
        rate_hz: float,
        peers: Peers,
        report: ControlReport,
        latencies: LatencyRecorder,
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__("control", failed)
        self._supervisor, self._arm, self._gripper = supervisor, arm, gripper
        self._recover_arm = recover_arm
        self._period_s = 1.0 / rate_hz
        self._peers = peers
        self._operator: str | None = None
        self._hold: str | None = None
        self._report = report
        self._latencies = latencies
        self._control = ControlStep(supervisor, arm, gripper, report, report.in_force, report.held)
        self._chunks: Mailbox[ActionChunk] = Mailbox()
        self._patches: Mailbox[KeyPatches] = Mailbox()
        self._deadman: Mailbox[bool] = Mailbox()
        self._due_s = 0.0
        self._fault: str | None = None
        self._in_episode = False
        self._line = ""

    @property
    def fault(self) -> str | None:
        """What ended control, or None while it is on."""
        return self._fault

    @property
    def line(self) -> str:
        """What the arm does, or why it does not move, in one sentence."""
        return self._line

    @property
    def holds(self) -> dict[str, int]:
        """How often the arm was brought to rest, by reason."""
        return dict(self._control.holds)

    def submit(self, chunk: ActionChunk) -> None:
        """Leave a chunk; the newest counts. Any thread."""
        self._chunks.put(chunk)

    def note(self, patches: KeyPatches) -> None:
        """Leave the newest key-patches. Any thread."""
        self._patches.put(patches)

    def note_deadman(self, held: bool) -> None:
        """Leave whether the operator's deadman switch is held. Any thread."""
        self._deadman.put(held)

    def reset(self) -> None:
        """Begin an episode at the current pose: chunks count from now on. HardwareError without control."""
        self.ask(self._reset, REQUEST_TIMEOUT_S)

    def come_to_rest(self) -> None:
        """Forget the chunk in force: the arm comes to rest within its limits and moves again on the next one."""
        self.ask(self._forget_chunk, REQUEST_TIMEOUT_S)

    def hold(self, reason: str) -> None:
        """Bring the arm to rest until `release`."""
        self.ask(lambda: self._set_operator(reason or "operator"), REQUEST_TIMEOUT_S)

    def release(self) -> None:
        """End a `hold`."""
        self.ask(lambda: self._set_operator(None), REQUEST_TIMEOUT_S)

    def emergency_stop(self, reason: str) -> None:
        """Bring the arm to rest until `reset_emergency_stop`, whatever else is asked of it."""
        self.ask(lambda: self._supervisor.emergency_stop(reason or "operator"), REQUEST_TIMEOUT_S)

    def reset_emergency_stop(self) -> None:
        """End an `emergency_stop`."""
        self.ask(self._supervisor.reset_emergency_stop, REQUEST_TIMEOUT_S)

    def recover(self) -> None:
        """Clear a fault and take control again at the current pose; HardwareError if the robot refuses."""
        self.ask(self._recover, REQUEST_TIMEOUT_S)

    def begin(self) -> None:
        """Take control of the arm, which holds its pose."""
        try:
            self._take_control()
        except GlueError as error:
            self._give_up(error)
            return
        self._report.safety_event(time.time_ns(), SupervisorMode.HOLD.value, "started")

    def step(self) -> None:
        """Run one tick and sleep to the next."""
        self._latencies.add("control_lateness", max(0.0, time.perf_counter() - self._due_s) * 1e3)
        if self._fault is None:
            try:
                with self._latencies.measure("control"):
                    self._tick()
            except GlueError as error:
                self._give_up(error)
        self._due_s += self._period_s
        late_s = time.perf_counter() - self._due_s
        if late_s > self._period_s:  # never run a burst of ticks to catch up
            self._due_s = time.perf_counter()
        self._stopping.wait(max(0.0, -late_s))

    def end(self) -> None:
        """Bring arm and gripper to rest."""
        self._arm.stop()
        self._gripper.stop()

    def _set_operator(self, reason: str | None) -> None:
        self._operator = reason
        self._update_hold()

    def _update_hold(self) -> None:
        """Hold for the operator, else for who is lost. Afterwards motion needs a new chunk."""
        lost = self._peers.lost()
        reason = self._operator or (gone(lost) if lost else None)
        if reason == self._hold:
            return
        self._hold = reason
        if reason is None:
            self._supervisor.release()
        else:
            self._supervisor.operator_hold(reason)

    def _forget_chunk(self) -> None:
        self._chunks.take(0.0)
        self._supervisor.release()
        self._hold = None
        self._update_hold()

    def _tick(self) -> None:
        self._update_hold()
        state = self._arm.state()
        self._report.state(state)
        now_ns = time.time_ns()
        patches = self._patches.take(0.0)
        if patches is not None:
            self._supervisor.note_frame(patches.stamp_ns)
            self._supervisor.note_key_patches(patches)
        held = self._deadman.take(0.0)
        if held is not None:
            self._supervisor.note_deadman(now_ns, held)
        chunk = self._chunks.take(0.0)
        if chunk is not None and self._in_episode:
            self._control.submit(chunk, now_ns)
        self._control.tick(now_ns, state)
        self._tell(self._supervisor.line)

    def _tell(self, line: str) -> None:
        if line != self._line:
            self._line = line
            self._report.line(line)

    def _take_control(self) -> None:
        self._arm.start()
        self._supervisor.reset(time.time_ns(), self._arm.state())
        self._due_s = time.perf_counter()
        self._fault, self._in_episode = None, False

    def _reset(self) -> None:
        if self._fault is not None:
            raise HardwareError(f"{self._fault}; call recover_from_error first")
        self._chunks.take(0.0)
        self._patches.take(0.0)
        self._control.jumps.clear()
        self._peers.forget_lost()
        self._update_hold()
        self._supervisor.reset(time.time_ns(), self._arm.state())
        self._in_episode = True

    def _recover(self) -> None:
        if self._fault is None:
            raise NotReadyError("the arm is under control: there is no fault to recover from")
        self._recover_arm()
        self._take_control()
        self._report.safety_event(time.time_ns(), SupervisorMode.HOLD.value, "recovered")

    def _give_up(self, error: GlueError) -> None:
        self._fault = str(error)
        self._arm.stop()
        self._report.safety_event(time.time_ns(), FAULT, self._fault)
        self._tell(self._fault)
