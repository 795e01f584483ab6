"""The policy's thread: decides while an episode runs, and no longer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from waiting import WAIT_S, until
from worker_inputs import chunk, frame, patches, state

from glue_bringup.loop.action_source import Decision
from glue_bringup.loop.observation_join import ObservationJoin
from glue_bringup.loop.peers import EPISODE_OVER_S, Peers
from glue_bringup.loop.policy_worker import PolicyWorker
from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.loop.worker import Worker
from glue_perception.errors import NotReadyError
from glue_perception.types import ActionChunk


class Forward:
    """Goes straight on in x; remembers what it was told of its chunks."""

    def __init__(self) -> None:
        self.told: list[tuple[int, ...]] = []

    def reset(self, observation) -> None:
        pass

    def note_in_force(self, stamp_ns, now_ns) -> None:
        self.told.append((stamp_ns, now_ns))

    def note_held(self, now_ns) -> None:
        self.told.append((now_ns,))

    def decide(self, observation) -> Decision:
        return Decision(chunk(observation.stamp_ns))


def observation(stamp_ns: int):
    join = ObservationJoin()
    join.state(state(stamp_ns))
    join.frame(frame(stamp_ns))
    return join.key_patches(patches(stamp_ns))


def policy_worker(source, chunks, peers=None, ended=None) -> PolicyWorker:
    ended = [] if ended is None else ended
    return PolicyWorker(
        source, 10.0, chunks.append, peers or Peers(), ended.append, RecentLatencies(), pytest.fail
    )


@contextmanager
def fed(worker) -> Iterator[PolicyWorker]:
    """A worker that runs and gets observations."""
    worker.start()
    feeding = threading.Event()

    def feed() -> None:
        while not feeding.wait(0.02):
            worker.offer(observation(time.time_ns()))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield worker
    finally:
        feeding.set()
        feeder.join()
        worker.stop()


class Slow(Forward):
    """Takes its time for every decision, and waits in the third for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions, self.third, self.go_on = 0, threading.Event(), threading.Event()

    def decide(self, observation) -> Decision:
        self.decisions += 1
        if self.decisions == 3:
            self.third.set()
            self.go_on.wait(WAIT_S)
        time.sleep(0.2)
        return super().decide(observation)


def test_a_slow_policy_hangs_only_when_it_is_slower_than_it_was() -> None:
    source = Slow()
    with fed(policy_worker(lambda seed: source, [])) as worker:
        worker.run_episode(0, 60.0, WAIT_S)
        assert source.third.wait(WAIT_S)
        until(lambda: worker.step_s > 0.0)
        counted_s = worker.step_s
        assert Worker.step_s.fget(worker) > counted_s + 0.4  # twice what the second decision took at least
        source.go_on.set()


def test_the_policy_decides_only_while_an_episode_runs() -> None:
    seeds: list[int] = []
    chunks: list[ActionChunk] = []
    made = Forward()

    def source(seed: int) -> Forward:
        seeds.append(seed)
        return made

    with fed(policy_worker(source, chunks)) as worker:
        time.sleep(0.1)
        worker.note_held(1)  # nobody is there to be told
        assert not chunks
        worker.run_episode(7, 600.0, WAIT_S)
        assert seeds == [7] and len(chunks) >= 1
        until(lambda: len(chunks) >= 4)
        worker.note_in_force(4, 5)
        worker.note_held(6)
        assert made.told == [(4, 5), (6,)]
        worker.pause()
        count = len(chunks)
        time.sleep(0.2)
        assert len(chunks) == count
        gaps_ns = np.diff([c.stamp_ns for c in chunks])
        assert gaps_ns.min() >= 0.049e9  # half a period, where the machine had no time for a frame
    with pytest.raises(NotReadyError):
        worker.run_episode(8, 600.0, 0.05)


def test_an_episode_ends_after_its_time() -> None:
    chunks: list[ActionChunk] = []
    ended: list[str] = []
    with fed(policy_worker(lambda seed: Forward(), chunks, ended=ended)) as worker:
        worker.run_episode(0, 0.3, WAIT_S)
        until(lambda: not worker.deciding)
        count = len(chunks)
        time.sleep(0.2)
    assert len(chunks) == count
    assert ended == ["the episode's time is over"]


def test_an_episode_ends_when_a_peer_is_lost_and_not_when_it_is_late() -> None:
    now_s = [0.0]
    peers, ended = Peers(lambda: now_s[0]), []
    peers.note("task_node", True)
    with fed(policy_worker(lambda seed: Forward(), [], peers, ended)) as worker:
        worker.run_episode(0, 600.0, WAIT_S)
        peers.note("task_node", False)
        now_s[0] = EPISODE_OVER_S - 0.1
        time.sleep(0.1)
        assert worker.deciding
        now_s[0] = EPISODE_OVER_S
        until(lambda: ended == ["task_node is gone"])
        worker.run_episode(0, 600.0, WAIT_S)  # who is not there at the beginning is not missed
        time.sleep(0.1)
        assert worker.deciding


def test_a_start_that_is_under_way_can_be_cancelled() -> None:
    chunks: list[ActionChunk] = []
    worker = policy_worker(lambda seed: Forward(), chunks)
    worker.start()
    refused: list[str] = []

    def begin() -> None:
        try:
            worker.run_episode(0, 600.0, WAIT_S)
        except NotReadyError as error:
            refused.append(str(error))

    starter = threading.Thread(target=begin)
    starter.start()
    until(lambda: worker.starting)
    worker.pause()
    starter.join()
    worker.stop()
    assert refused == ["the start of the policy was cancelled"] and not chunks
