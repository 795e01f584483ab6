"""The policy in a thread of its own: the newest observation in, chunks out, while an episode runs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from glue_bringup.loop.action_source import ActionSource
from glue_bringup.loop.deadlines import DeadlineCounter
from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.peers import EPISODE_OVER_S, Peers, gone
from glue_bringup.loop.schedule import PolicySchedule
from glue_bringup.loop.worker import Worker
from glue_perception.errors import HardwareError, NotReadyError
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, Observation

WAIT_S = 0.1


class PolicyWorker(Worker):
    """Decides at the policy's rate on the newest observation while an episode runs.

    An episode ends by `pause`, after its time, or when one of the peers is lost for `EPISODE_OVER_S`: should that one
    come back, nothing moves before the next episode.

    Args:
        make_source: Returns who decides, for the seed of an episode; called in the worker's thread.
        rate_hz: Chunks per second.
        decided: Gets every chunk, in this thread.
        peers: Without them an episode cannot go on.
        ended: Told why an episode was ended here, in words, in this thread.
        latencies: Gets the durations.
        failed: See `Worker`.
    """

    def __init__(
        self,
        make_source: Callable[[int], ActionSource],
        rate_hz: float,
        decided: Callable[[ActionChunk], None],
        peers: Peers,
        ended: Callable[[str], None],
        latencies: LatencyRecorder,
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__("policy", failed)
        self._make_source = make_source
        self._rate_hz = rate_hz
        self._decided = decided
        self._peers = peers
        self._ended = ended
        self._end_s = math.inf
        self._starting = False
        self._last_decision_s = 0.0
        self._paused = threading.Event()
        self._latencies = latencies
        self._observations: Mailbox[Observation] = Mailbox()
        self._source: ActionSource | None = None
        self._schedule = PolicySchedule(rate_hz)
        self.deadlines = DeadlineCounter(rate_hz)

    @property
    def step_s(self) -> float:
        """As of `Worker`, less twice what the last decision took: a policy that is slow as always does not hang."""
        return max(0.0, super().step_s - 2.0 * self._last_decision_s)

    @property
    def deciding(self) -> bool:
        """Whether an episode runs."""
        return self._source is not None

    @property
    def starting(self) -> bool:
        """Whether an episode is being started."""
        return self._starting

    def offer(self, observation: Observation) -> None:
        """Leave an observation. Any thread."""
        self._observations.put(observation)

    def run_episode(self, seed: int, max_duration_s: float, timeout_s: float) -> None:
        """Decide from now on, for so long at most; returns after the first chunk. Any thread but the worker's.

        Raises:
            HardwareError: no observation came.
            NotReadyError: it took longer than `timeout_s`, or was ended by `pause`.
        """
        self._paused.clear()
        self.ask(lambda: self._start(seed, max_duration_s, timeout_s), timeout_s)

    def pause(self) -> None:
        """Decide no more, also if `run_episode` is still under way. Any thread but the worker's."""
        self._paused.set()
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
        self._end_if_over()
        observation = self._observations.take(WAIT_S)
        if self._source is None or observation is None or not self._schedule.due(observation.stamp_ns):
            return
        self._decide(self._source, observation)

    def _start(self, seed: int, max_duration_s: float, timeout_s: float) -> None:
        self._source, self._starting = None, True
        try:
            self._start_anew(seed, max_duration_s, timeout_s)
        finally:
            self._starting = False

    def _start_anew(self, seed: int, max_duration_s: float, timeout_s: float) -> None:
        self._peers.forget_lost()
        self._schedule, self.deadlines = PolicySchedule(self._rate_hz), DeadlineCounter(self._rate_hz)
        source = self._make_source(seed)
        source.reset(self._next(timeout_s))
        self._observations.take(0.0)  # those of before waited while the engine was built
        first = self._next(timeout_s)
        self._schedule.due(first.stamp_ns)
        self._source = source
        self._end_s = time.monotonic() + max_duration_s
        self._decide(source, first)

    def _next(self, timeout_s: float) -> Observation:
        deadline_s = time.monotonic() + timeout_s
        observation = None
        while observation is None and time.monotonic() < deadline_s and not self._paused.is_set():
            observation = self._observations.take(WAIT_S)
        if self._paused.is_set():
            raise NotReadyError("the start of the policy was cancelled")
        if observation is None:
            raise HardwareError(
                f"no observation came within {timeout_s:g} s; camera, key-patches and robot states are all needed"
            )
        return observation

    def _end_if_over(self) -> None:
        if self._source is None:
            return
        lost = self._peers.lost(EPISODE_OVER_S)
        if lost or time.monotonic() > self._end_s:
            self._source = None
            self._ended(gone(lost) if lost else "the episode's time is over")

    def _pause(self) -> None:
        self._source = None

    def _decide(self, source: ActionSource, observation: Observation) -> None:
        started_s = time.perf_counter()
        chunk = source.decide(observation).chunk
        self._last_decision_s = time.perf_counter() - started_s
        policy_ms = self._last_decision_s * 1e3
        now_ns = time.time_ns()
        self.deadlines.chunk(observation.stamp_ns, now_ns)
        capture_to_chunk_ms = (now_ns - observation.stamp_ns) / 1e6
        self._latencies.add("policy", policy_ms)
        self._latencies.add("capture_to_chunk", capture_to_chunk_ms)
        self._latencies.add("capture_to_chunk_less_policy", capture_to_chunk_ms - policy_ms)
        self._decided(chunk)
