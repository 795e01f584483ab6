"""The policy in a thread of its own: the newest observation in, chunks out, between `begin` and `pause`."""

from __future__ import annotations

import time
from collections.abc import Callable

from glue_bringup.loop.action_source import ActionSource
from glue_bringup.loop.deadlines import DeadlineCounter
from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.schedule import PolicySchedule
from glue_bringup.loop.worker import Worker
from glue_perception.errors import HardwareError
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, Observation

WAIT_S = 0.1


class PolicyWorker(Worker):
    """Decides at the policy's rate on the newest observation while an episode runs.

    Args:
        make_source: Returns who decides, for the seed of an episode; called in the worker's thread.
        rate_hz: Chunks per second.
        decided: Gets every chunk, in this thread.
        latencies: Gets the durations.
        failed: See `Worker`.
    """

    def __init__(
        self,
        make_source: Callable[[int], ActionSource],
        rate_hz: float,
        decided: Callable[[ActionChunk], None],
        latencies: LatencyRecorder,
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__("policy", failed)
        self._make_source = make_source
        self._rate_hz = rate_hz
        self._decided = decided
        self._latencies = latencies
        self._observations: Mailbox[Observation] = Mailbox()
        self._source: ActionSource | None = None
        self._schedule = PolicySchedule(rate_hz)
        self.deadlines = DeadlineCounter(rate_hz)

    @property
    def deciding(self) -> bool:
        """Whether an episode runs."""
        return self._source is not None

    def offer(self, observation: Observation) -> None:
        """Leave an observation. Any thread."""
        self._observations.put(observation)

    def run_episode(self, seed: int, timeout_s: float) -> None:
        """Decide from now on; returns after the first chunk. Any thread but the worker's.

        Raises:
            HardwareError: no observation came.
            NotReadyError: it took longer than `timeout_s`.
        """
        self.ask(lambda: self._start(seed, timeout_s), timeout_s)

    def pause(self) -> None:
        """Decide no more. Any thread but the worker's."""
        self.ask(self._pause, 10.0)

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Take note that the arm follows the chunk of `stamp_ns` since `now_ns`. Any thread."""
        source = self._source
        if source is not None:
            source.note_in_force(stamp_ns, now_ns)

    def note_held(self, now_ns: int) -> None:
        """Take note that the arm does not do now what the newest chunk says. Any thread."""
        source = self._source
        if source is not None:
            source.note_held(now_ns)

    def step(self) -> None:
        """Decide on the newest observation, if the policy is due."""
        observation = self._observations.take(WAIT_S)
        if self._source is None or observation is None or not self._schedule.due(observation.stamp_ns):
            return
        self._decide(self._source, observation)

    def _start(self, seed: int, timeout_s: float) -> None:
        self._source = None
        self._schedule, self.deadlines = PolicySchedule(self._rate_hz), DeadlineCounter(self._rate_hz)
        source = self._make_source(seed)
        source.reset(self._next(timeout_s))
        self._observations.take(0.0)  # those of before waited while the engine was built
        first = self._next(timeout_s)
        self._schedule.due(first.stamp_ns)
        self._source = source
        self._decide(source, first)

    def _next(self, timeout_s: float) -> Observation:
        observation = self._observations.take(timeout_s)
        if observation is None:
            raise HardwareError(
                f"no observation came within {timeout_s:g} s; camera, key-patches and robot states are all needed"
            )
        return observation

    def _pause(self) -> None:
        self._source = None

    def _decide(self, source: ActionSource, observation: Observation) -> None:
        with self._latencies.measure("policy"):
            chunk = source.decide(observation).chunk
        now_ns = time.time_ns()
        self.deadlines.chunk(observation.stamp_ns, now_ns)
        self._latencies.add("capture_to_chunk", (now_ns - observation.stamp_ns) / 1e6)
        self._decided(chunk)
