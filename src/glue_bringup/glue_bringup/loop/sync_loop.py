"""The synchronous host: simulated time, one thread, faster than real time, the same result every time."""

from __future__ import annotations

from glue_bringup.arm.limits import RobotModel
from glue_bringup.loop.action_source import ActionSource
from glue_bringup.loop.control_step import ControlStep
from glue_bringup.loop.deadlines import DeadlineCounter
from glue_bringup.loop.episode import EpisodeResult, summarise_jumps
from glue_bringup.loop.guarded_supervisor import guarded_supervisor
from glue_bringup.loop.perceiver import KeyPatchSource, Perceiver
from glue_bringup.loop.schedule import PolicySchedule
from glue_bringup.recording.episode_recorder import EpisodeRecorder
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import TaskConfig
from glue_perception.timing import NS_PER_S, LatencyRecorder
from glue_perception.types import ActionChunk, Observation

NS_PER_MS = 1_000_000


class SyncLoop:
    """Runs episodes in a `SyncTwin`: events at whole milliseconds of simulated time, in a fixed order.

    Args:
        task: Rates, limits and latency.
        twin: Reset to the episode's seed by `run`.
        pipeline: Perception; started anew in every episode.
        latencies: Gets the measured (wall) durations of the stages.
    """

    def __init__(
        self, task: TaskConfig, twin: SyncTwin, pipeline: KeyPatchSource, latencies: LatencyRecorder
    ) -> None:
        self._task = task
        self._twin = twin
        self._pipeline = pipeline
        self._latencies = latencies

    def run(self, seed: int, source: ActionSource, recorder: EpisodeRecorder | None = None) -> EpisodeResult:
        """Run one episode from the layout of `seed` to success or the time limit.

        Raises:
            QueryError: the first frame does not show the task's objects.
        """
        task, twin = self._task, self._twin
        twin.reset(seed)
        supervisor = guarded_supervisor(task.safety, RobotModel.FR3)
        control = ControlStep(
            supervisor, twin.arm, twin.gripper, recorder, source.note_in_force, source.note_held
        )
        perceiver = Perceiver(self._pipeline, recorder, self._latencies)
        schedule, deadlines = PolicySchedule(task.policy.rate_hz), DeadlineCounter(task.policy.rate_hz)
        waiting: list[tuple[int, ActionChunk]] = []

        def decide(observation: Observation) -> None:
            supervisor.note_frame(observation.stamp_ns)
            supervisor.note_key_patches(observation.key_patches)
            # As on a robot, the next step begins when the last one is done.
            if waiting or not schedule.due(observation.stamp_ns):
                return
            with self._latencies.measure("policy"):
                decision = source.decide(observation)
            if recorder is not None:
                recorder.chunk(decision.chunk)
                if decision.demonstrated is not None:
                    recorder.demonstrated_action(decision.demonstrated)
            ready_ns = observation.stamp_ns + round(task.policy.sync_latency_s * NS_PER_S)
            waiting.append((ready_ns, decision.chunk))

        twin.arm.start()
        start_ns = twin.clock.now_ns()
        state = twin.arm.state()
        supervisor.reset(start_ns, state)
        first = perceiver.start(twin.render(), state)
        source.reset(first)
        decide(first)
        end_ns = start_ns + round(task.max_duration_s * NS_PER_S)
        success_ns: int | None = None
        frame_index, control_index = 1, 0
        while (now_ns := twin.clock.now_ns()) < end_ns:
            frame_due_ns = start_ns + _whole_ms(frame_index * NS_PER_S / task.camera.rate_hz)
            control_due_ns = start_ns + _whole_ms(control_index * NS_PER_S / task.control_rate_hz)
            if now_ns >= frame_due_ns:
                frame_index += 1
                decide(perceiver.observe(twin.render(), twin.arm.state()))
            if now_ns >= control_due_ns:
                control_index += 1
                while waiting and waiting[0][0] <= now_ns:
                    chunk = waiting.pop(0)[1]
                    control.submit(chunk, now_ns)
                    deadlines.chunk(chunk.stamp_ns, now_ns)
                control.tick(now_ns, twin.arm.state())
            next_ns = min(
                start_ns + _whole_ms(frame_index * NS_PER_S / task.camera.rate_hz),
                start_ns + _whole_ms(control_index * NS_PER_S / task.control_rate_hz),
            )
            twin.advance(next_ns - now_ns)
            if success_ns is None and twin.is_success():
                success_ns = twin.clock.now_ns()
                end_ns = min(end_ns, success_ns + round(task.settle_s * NS_PER_S))
        twin.arm.stop()
        return EpisodeResult(
            seed=seed,
            success=success_ns is not None,
            duration_s=(twin.clock.now_ns() - start_ns) / NS_PER_S,
            frames=perceiver.frames,
            frames_missed=0,
            chunks=deadlines.chunks,
            deadlines=deadlines.due,
            deadline_misses=deadlines.missed,
            tracked_share=round(perceiver.tracked_share, 4),
            holds=dict(control.holds),
            perception_events=perceiver.events,
            seam_jumps=summarise_jumps(control.jumps),
        )


def _whole_ms(ns: float) -> int:
    return round(ns / NS_PER_MS) * NS_PER_MS
