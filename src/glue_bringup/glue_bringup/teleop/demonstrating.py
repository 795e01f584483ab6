"""A demonstrator in a graph: moves the arm while an episode is being recorded, and says when to record.

The recorder's state is the one truth: whoever begins and ends the record (the operator's keys and buttons here, or a
service call from elsewhere), the arm follows the demonstrator exactly while an episode is being recorded.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from glue_bringup.loop.action_source import ActionSource, Decision
from glue_bringup.loop.worker import Worker
from glue_bringup.recording.demonstration_recorder import RecorderState
from glue_bringup.teleop.config import Deadman, TeleopConfig
from glue_bringup.teleop.device import DeviceReading
from glue_bringup.teleop.operator import OperatorCommand
from glue_perception.errors import GlueError
from glue_perception.types import ActionChunk, Observation

POLL_S = 0.05


class Verdict(Enum):
    """How an episode ends; the values are those of StopEpisode. LATER: recording ends, the verdict follows."""

    SUCCESS = 0
    FAILURE = 1
    DISCARD = 2
    LATER = 3


VERDICTS = {
    OperatorCommand.SUCCESS: Verdict.SUCCESS,
    OperatorCommand.FAILURE: Verdict.FAILURE,
    OperatorCommand.DISCARD: Verdict.DISCARD,
}


class Demonstrated:
    """An `ActionSource` that also hands out what a demonstration records of each decision.

    Args:
        source: Who decides.
        demonstrated: Gets the recorded action, a chunk of one, before the chunk is sent to the arm.
    """

    def __init__(self, source: ActionSource, demonstrated: Callable[[ActionChunk], None]) -> None:
        self._source = source
        self._demonstrated = demonstrated

    def reset(self, observation: Observation) -> None:
        """Begin an episode."""
        self._source.reset(observation)

    def decide(self, observation: Observation) -> Decision:
        """Return the source's decision."""
        decision = self._source.decide(observation)
        if decision.demonstrated is not None:
            self._demonstrated(decision.demonstrated)
        return decision

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Hand it on."""
        self._source.note_in_force(stamp_ns, now_ns)

    def note_held(self, now_ns: int) -> None:
        """Hand it on."""
        self._source.note_held(now_ns)


class OperatorButtons:
    """The operator's commands by the buttons of a handle.

    With the deadman released the gripper's button moves nothing: there it starts a recording and ends it as
    a success.
    Models with more buttons may have one each for failure and discard, held or not.
    """

    def __init__(self, config: TeleopConfig) -> None:
        self._config = config
        self._presses: tuple[int, ...] | None = None

    def update(self, reading: DeviceReading, state: RecorderState) -> OperatorCommand | None:
        """Return what the buttons say since the last reading."""
        before, self._presses = self._presses, reading.presses
        config = self._config
        if before is None or config.deadman is Deadman.NONE:
            return None
        pressed = {
            k for k, count in enumerate(reading.presses) if count != (before[k] if k < len(before) else 0)
        }
        if config.failure_button in pressed:
            return OperatorCommand.FAILURE
        if config.discard_button in pressed:
            return OperatorCommand.DISCARD
        if config.gripper_button in pressed and not reading.is_down(config.deadman_button):
            return OperatorCommand.START if state is RecorderState.IDLE else OperatorCommand.SUCCESS
        return None


class DemonstrationPorts(Protocol):
    """What the other nodes do for a demonstration; all may wait and raise GlueError."""

    def start_episode(self) -> None:
        """Have the objects found and the record begun."""
        ...

    def stop_episode(self, verdict: Verdict) -> str:
        """End the record; return what it was recorded as, empty with LATER."""
        ...

    def take_over(self) -> None:
        """Let the demonstrator move the arm from its present pose on."""
        ...

    def let_go(self) -> None:
        """Send the arm nothing more."""
        ...

    def say(self, words: str) -> None:
        """Tell the operator; does not wait or raise."""
        ...


class DemonstrationWorker(Worker):
    """Takes the operator's commands one at a time and follows the recorder's state, in a thread of its own.

    Args:
        ports: The other nodes.
        max_duration_s: An episode ends then: for the verdict, or as a failure where nobody is asked.
        buttons: Asked for commands between those that are given; None: there are none.
        failed: See `Worker`.
    """

    def __init__(
        self,
        ports: DemonstrationPorts,
        max_duration_s: float,
        buttons: Callable[[RecorderState], OperatorCommand | None] | None,
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__("demonstration", failed)
        self._ports = ports
        self._max_duration_s = max_duration_s
        self._buttons = buttons
        self._commands: queue.SimpleQueue[OperatorCommand] = queue.SimpleQueue()
        self._told = self._state = RecorderState.IDLE
        self._began_s = 0.0

    @property
    def recording(self) -> bool:
        """Whether the demonstrator moves the arm."""
        return self._state is RecorderState.RECORDING

    def command(self, command: OperatorCommand) -> None:
        """Take a command. Any thread."""
        self._commands.put(command)

    def recorder_state(self, state: RecorderState) -> None:
        """Take note of what the recorder does now. Any thread."""
        self._told = state

    def step(self) -> None:
        """Follow the recorder, then do what the operator says."""
        self._follow(self._told)
        if self.recording and time.monotonic() - self._began_s > self._max_duration_s:
            self._try(self.time_is_up)
        command = self._next_command()
        if command is not None:
            self._try(lambda: self._obey(command))

    def end(self) -> None:
        """Send nothing more; the recorder aborts an episode by itself."""
        if self.recording:
            self._try(self._ports.let_go)

    def time_is_up(self) -> None:
        """End an episode that lasts too long; is overridden where no operator is asked."""
        self._ports.say(f"{self._max_duration_s:g} s are over; the verdict, please")
        self._stop(Verdict.LATER)

    def over(self, recorded_as: str) -> None:
        """Is called after every episode; `recorded_as` is empty where the record was ended elsewhere."""

    def refused(self, error: GlueError) -> None:
        """Is called when an episode could not begin."""

    def _next_command(self) -> OperatorCommand | None:
        try:
            return self._commands.get(timeout=POLL_S)
        except queue.Empty:
            return self._buttons(self._state) if self._buttons is not None else None

    def _follow(self, state: RecorderState) -> None:
        before, self._state = self._state, state
        if state is before:
            return
        if before is RecorderState.RECORDING:
            self._try(self._ports.let_go)
        if state is RecorderState.IDLE:  # without a verdict from here
            self._ports.say("the record was ended elsewhere")
            self.over("")
        if state is RecorderState.RECORDING:
            self._began_s = time.monotonic()
            try:
                self._ports.take_over()
            except GlueError as error:
                self._ports.say(f"the arm cannot be moved: {error}")
                self._try(lambda: self._end_record(Verdict.DISCARD))
                self.refused(error)

    def _obey(self, command: OperatorCommand) -> None:
        if command is OperatorCommand.START:
            if self._state is RecorderState.IDLE:
                self._start()
        elif command is OperatorCommand.STOP:
            if self.recording:
                self._stop(Verdict.LATER)
        elif command in VERDICTS and self._state is not RecorderState.IDLE:
            self._stop(VERDICTS[command])

    def _start(self) -> None:
        try:
            self._ports.start_episode()
        except GlueError as error:
            self._ports.say(f"not recording: {error}")
            self.refused(error)

    def _stop(self, verdict: Verdict) -> None:
        # First the arm, then the record: what was sent is in it.
        if self.recording:
            self._ports.let_go()
        recorded_as = self._end_record(verdict)
        if verdict is not Verdict.LATER:
            self.over(recorded_as)

    def _end_record(self, verdict: Verdict) -> str:
        recorded_as = self._ports.stop_episode(verdict)
        self._state = self._told = RecorderState.STOPPED if verdict is Verdict.LATER else RecorderState.IDLE
        return recorded_as

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except GlueError as error:
            self._ports.say(str(error))


class AutomaticDemonstration(DemonstrationWorker):
    """One episode by the scripted expert, begun at once and judged by the task's own test.

    Args:
        ports: The other nodes.
        max_duration_s: Without success the episode is a failure then.
        settle_s: An episode goes on this long after success, so that its end is recorded too.
        ended: Told at the end what the episode was recorded as, or the error for which it could not begin.
        failed: See `Worker`.
    """

    def __init__(
        self,
        ports: DemonstrationPorts,
        max_duration_s: float,
        settle_s: float,
        ended: Callable[[str | GlueError], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(ports, max_duration_s, None, failed)
        self._settle_s = settle_s
        self._ended = ended
        self._done_s: float | None = None

    def begin(self) -> None:
        """Begin the episode."""
        self.command(OperatorCommand.START)

    def done(self, is_done: bool) -> None:
        """Take note of what the task's own test says. Any thread."""
        if not is_done:
            self._done_s = None
        elif self._done_s is None:
            self._done_s = time.monotonic()

    def step(self) -> None:
        """Follow the recorder; end the episode when the task is done."""
        super().step()
        done_s = self._done_s
        if self.recording and done_s is not None and time.monotonic() - done_s > self._settle_s:
            self.command(OperatorCommand.SUCCESS)

    def time_is_up(self) -> None:
        """Call it a failure."""
        self._stop(Verdict.FAILURE)

    def over(self, recorded_as: str) -> None:
        """Hand on what it was recorded as."""
        self._ended(recorded_as)

    def refused(self, error: GlueError) -> None:
        """Hand on why there is no episode."""
        self._ended(error)
