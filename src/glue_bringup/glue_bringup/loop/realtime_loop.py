"""The real-time host: camera, perception, policy and control each in a thread of their own.

```
camera -> [perception thread] -> mailbox of one -> [policy thread] -> mailbox of one -> [control thread] -> arm
                 ^                                                                            |
                 +------------------------- newest robot states ------------------------------+
```
No thread waits for a slower one: the policy takes the newest observation, control the newest chunk. Whatever
fails, control goes on until the arm has been brought to rest.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from glue_bringup.arm.base import ArmDriver
from glue_bringup.arm.limits import RobotModel
from glue_bringup.gripper.base import Gripper
from glue_bringup.loop.action_source import ActionSource
from glue_bringup.loop.control_step import ControlStep
from glue_bringup.loop.deadlines import DeadlineCounter
from glue_bringup.loop.episode import EpisodeResult, summarise_jumps
from glue_bringup.loop.guarded_supervisor import guarded_supervisor
from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.perceiver import KeyPatchSource, Perceiver
from glue_bringup.loop.schedule import PolicySchedule
from glue_bringup.recording.record import Record
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.task_config import TaskConfig
from glue_perception.cameras.base import Camera
from glue_perception.errors import HardwareError
from glue_perception.scheduling import take_short_turns
from glue_perception.timing import NS_PER_S, Clock, LatencyRecorder, SystemClock
from glue_perception.types import ActionChunk, KeyPatches, Observation, RobotState

CAMERA_TIMEOUT_S = 2.0
FIRST_FRAME_TIMEOUT_S = 10.0
STATE_HISTORY = 200
"""Two seconds of states at 100 Hz: more than any frame is late."""

REST_TIMEOUT_S = 2.0
"""From the top speed within its motion limits an arm rests in half a second."""

EPISODE_OVER = "the episode is over"
"""What the supervisor is told at the end: the arm comes to rest on a ramp, not by the targets' ceasing."""

THREAD_SWITCH_S = 0.0002
"""Python's default of 5 ms between threads is half a control period; a tick that is due waits for as long as this."""


@dataclass(frozen=True)
class Robot:
    """What the loop moves and sees."""

    arm: ArmDriver
    gripper: Gripper
    camera: Camera
    model: RobotModel


class RealtimeLoop:
    """Runs one episode on a robot, real or simulated at protocol level.

    Args:
        task: Rates and limits.
        robot: Built and connected, not started.
        pipeline: Perception; started on the first frame.
        source: Who decides.
        latencies: Gets the durations of the stages.
        recorder: Gets everything, or None.
    """

    def __init__(
        self,
        task: TaskConfig,
        robot: Robot,
        pipeline: KeyPatchSource,
        source: ActionSource,
        latencies: LatencyRecorder,
        recorder: Record | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._task = task
        self._robot = robot
        self._source = source
        self._latencies = latencies
        self._recorder = recorder
        self._clock = clock or SystemClock()
        self._perceiver = Perceiver(pipeline, recorder, latencies)
        self._supervisor = guarded_supervisor(task.safety, robot.model)
        self._control = ControlStep(
            self._supervisor, robot.arm, robot.gripper, recorder, source.note_in_force, source.note_held
        )
        self._schedule = PolicySchedule(task.policy.rate_hz)
        self._deadlines = DeadlineCounter(task.policy.rate_hz)
        self._states: deque[RobotState] = deque(maxlen=STATE_HISTORY)
        self._observations: Mailbox[Observation] = Mailbox()
        self._chunks: Mailbox[ActionChunk] = Mailbox()
        self._seen: Mailbox[tuple[int, KeyPatches]] = Mailbox()
        self._source_ready = threading.Event()
        self._stop_thinking = threading.Event()
        self._stop_control = threading.Event()
        self._control_ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._start_ns = 0
        self._frame_stamps_ns: list[int] = []

    def run(self, seed: int, succeeded: Callable[[], bool]) -> EpisodeResult:
        """Run to success or the time limit, then bring the arm to rest.

        Args:
            seed: For the record.
            succeeded: The task's own test, asked many times a second.

        Raises:
            QueryError: the first frame does not show the task's objects; nothing has moved.
            HardwareError: camera, arm or gripper failed; the arm was stopped first.
        """
        switch_s = sys.getswitchinterval()
        sys.setswitchinterval(THREAD_SWITCH_S)
        try:
            self._begin()
            # Going through the objects of torch and the rest takes the collector tenths of a second.
            gc.freeze()
            start_ns = self._start_ns = self._clock.now_ns()
            self._spawn(self._control_work)
            self._spawn(self._perception_work)
            success_ns = self._watch(start_ns, succeeded)
            end_ns = self._clock.now_ns()
        finally:
            self._stop_thinking.set()
            if self._start_ns:  # control has begun: it ends by itself once the arm rests
                self._control_ended.wait(REST_TIMEOUT_S)
            self._stop_control.set()
            for thread in self._threads:
                thread.join(CAMERA_TIMEOUT_S + 1.0)
            self._robot.arm.stop()
            self._robot.gripper.stop()
            gc.unfreeze()
            sys.setswitchinterval(switch_s)
        if self._failure is not None:
            raise self._failure
        return self._result(seed, success_ns, (end_ns - start_ns) / NS_PER_S)

    def _begin(self) -> None:
        frame = self._robot.camera.read(FIRST_FRAME_TIMEOUT_S)
        if frame is None:
            raise HardwareError("the camera ended before its first frame")
        state = self._robot.arm.state()
        first = self._perceiver.start(frame, state)
        self._spawn(lambda: self._policy_work(first))
        while not self._source_ready.wait(0.1):
            if self._failure is not None:
                raise self._failure
        self._robot.arm.start()
        state = self._robot.arm.state()
        self._states.append(state)
        self._supervisor.reset(self._clock.now_ns(), state)

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(work,), name="realtime_loop", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # the main thread raises it once the arm is at rest
            if self._failure is None:
                self._failure = error
            self._stop_thinking.set()

    def _watch(self, start_ns: int, succeeded: Callable[[], bool]) -> int | None:
        end_ns = start_ns + round(self._task.max_duration_s * NS_PER_S)
        success_ns: int | None = None
        while (now_ns := self._clock.now_ns()) < end_ns and not self._stop_thinking.is_set():
            if success_ns is None and succeeded():
                success_ns = now_ns
                end_ns = min(end_ns, now_ns + round(self._task.settle_s * NS_PER_S))
            time.sleep(0.01)
        return success_ns

    def _control_work(self) -> None:
        try:
            self._control_until_rest()
        finally:
            self._control_ended.set()

    def _control_until_rest(self) -> None:
        take_short_turns()
        period_s = 1.0 / self._task.control_rate_hz
        due_s = time.perf_counter()
        while not self._stop_control.is_set():
            self._latencies.add("control_lateness", max(0.0, time.perf_counter() - due_s) * 1e3)
            with self._latencies.measure("control"):
                state = self._robot.arm.state()
                self._states.append(state)
                now_ns = self._clock.now_ns()
                seen = self._seen.take(0.0)
                if seen is not None:
                    self._supervisor.note_frame(seen[0])
                    self._supervisor.note_key_patches(seen[1])
                chunk = self._chunks.take(0.0)
                if chunk is not None:
                    self._control.submit(chunk, now_ns)
                ending = self._stop_thinking.is_set()
                if ending:
                    self._supervisor.operator_hold(EPISODE_OVER)
                mode = self._control.tick(now_ns, state)
            if ending and mode is SupervisorMode.HOLD:
                return
            due_s += period_s
            late_s = time.perf_counter() - due_s
            if late_s > period_s:  # never run a burst of ticks to catch up
                due_s = time.perf_counter()
            self._stop_control.wait(max(0.0, -late_s))

    def _perception_work(self) -> None:
        while not self._stop_thinking.is_set():
            frame = self._robot.camera.read(CAMERA_TIMEOUT_S)
            if frame is None:
                raise HardwareError("the camera's stream ended during the episode; check its cable")
            observation = self._perceiver.observe(frame, self._state_at(frame.stamp_ns))
            self._frame_stamps_ns.append(frame.stamp_ns)
            self._latencies.add("capture_to_patches", (self._clock.now_ns() - frame.stamp_ns) / 1e6)
            self._seen.put((frame.stamp_ns, observation.key_patches))
            # A frame from before control began waited for it, and its chunk would come late.
            if frame.stamp_ns >= self._start_ns and self._schedule.due(frame.stamp_ns):
                self._observations.put(observation)

    def _policy_work(self, first: Observation) -> None:
        # In this thread, as a network's first call in a thread is slow.
        self._source.reset(first)
        self._source_ready.set()
        while not self._stop_thinking.is_set():
            observation = self._observations.take(0.1)
            if observation is None:
                continue
            with self._latencies.measure("policy"):
                decision = self._source.decide(observation)
            self._chunks.put(decision.chunk)
            now_ns = self._clock.now_ns()
            self._deadlines.chunk(observation.stamp_ns, now_ns)
            self._latencies.add("capture_to_chunk", (now_ns - observation.stamp_ns) / 1e6)
            if self._recorder is not None:
                self._recorder.chunk(decision.chunk)
                if decision.demonstrated is not None:
                    self._recorder.demonstrated_action(decision.demonstrated)

    def _state_at(self, stamp_ns: int) -> RobotState:
        """Return the state nearest to the capture."""
        return min(tuple(self._states), key=lambda state: abs(state.stamp_ns - stamp_ns))

    def _result(self, seed: int, success_ns: int | None, duration_s: float) -> EpisodeResult:
        stamps = self._frame_stamps_ns
        span_s = (stamps[-1] - stamps[0]) / NS_PER_S if len(stamps) > 1 else 0.0
        expected = round(span_s * self._task.camera.rate_hz) + 1
        return EpisodeResult(
            seed=seed,
            success=success_ns is not None,
            duration_s=round(duration_s, 3),
            frames=len(stamps),
            frames_missed=max(0, expected - len(stamps)),
            chunks=self._deadlines.chunks,
            deadlines=self._deadlines.due,
            deadline_misses=self._deadlines.missed,
            tracked_share=round(self._perceiver.tracked_share, 4),
            holds={reason: count for reason, count in self._control.holds.items() if reason != EPISODE_OVER},
            perception_events=self._perceiver.events,
            seam_jumps=summarise_jumps(self._control.jumps),
        )
