"""What the graph's nodes are shells of: joining by stamp, the episode's watch, perception, how long a step lasts."""

import threading
import time

import pytest
from waiting import WAIT_S, until
from worker_inputs import TASK, frame, patches, state

from glue_bringup.loop.observation_join import ObservationJoin
from glue_bringup.loop.perception_worker import PerceptionWorker
from glue_bringup.loop.recent_latencies import KEPT, RecentLatencies
from glue_bringup.loop.task_run import EpisodeEnd, EpisodeWatch
from glue_bringup.loop.worker import Worker
from glue_perception.errors import HardwareError, QueryError
from glue_perception.pipeline import build_pipeline
from glue_perception.types import KeyPatches


class TestJoin:
    def test_patches_meet_the_frame_of_exactly_their_stamp_in_any_order(self) -> None:
        join = ObservationJoin()
        join.state(state(0))
        assert join.frame(frame(100)) is None
        assert join.key_patches(patches(101)) is None
        late = join.frame(frame(101))
        assert late is not None and late.key_patches.stamp_ns == late.frame.stamp_ns == 101

    def test_the_state_is_the_nearest_and_carries_the_frames_stamp(self) -> None:
        join = ObservationJoin()
        for stamp_ns, x_m in ((80, 0.41), (98, 0.42), (140, 0.43)):
            join.state(state(stamp_ns, x_m))
        join.frame(frame(100))
        observation = join.key_patches(patches(100))
        assert observation is not None
        assert observation.robot_state.T_base_ee[0, 3] == 0.42
        assert observation.robot_state.stamp_ns == 100

    def test_what_was_passed_over_never_comes_back(self) -> None:
        join = ObservationJoin()
        join.state(state(0))
        join.key_patches(patches(90))
        join.frame(frame(100))
        assert join.key_patches(patches(100)) is not None
        assert join.unmatched == 1
        assert join.frame(frame(90)) is None

    def test_without_a_robot_state_there_is_no_observation(self) -> None:
        join = ObservationJoin()
        join.frame(frame(1))
        assert join.key_patches(patches(1)) is None


class TestWatch:
    @pytest.fixture
    def clock(self) -> list[float]:
        return [50.0]

    @pytest.fixture
    def watch(self, clock) -> EpisodeWatch:
        return EpisodeWatch(10.0, 0.5, lambda: clock[0])

    def test_success_counts_once_and_settles(self, watch, clock) -> None:
        clock[0] += 3.0
        assert watch.end(True, False) is None
        clock[0] += 0.5
        assert watch.end(False, False) is EpisodeEnd.SUCCEEDED

    def test_time_is_up(self, watch, clock) -> None:
        clock[0] += 9.9
        assert watch.end(False, False) is None
        clock[0] += 0.2
        assert watch.end(False, False) is EpisodeEnd.TIMED_OUT

    def test_the_client_cancels(self, watch) -> None:
        assert watch.end(True, True) is EpisodeEnd.CANCELED


class TestPerceptionWorker:
    @pytest.fixture
    def found(self) -> list[KeyPatches]:
        return []

    @pytest.fixture
    def worker(self, found):
        with build_pipeline(TASK.perception, TASK.queries) as pipeline:
            worker = PerceptionWorker(pipeline, found.append, RecentLatencies(), pytest.fail)
            worker.start()
            yield worker
            worker.stop()

    def extract(self, worker, disc: bool = True) -> KeyPatches:
        """Extract while a camera runs."""
        ended = threading.Event()

        def feed() -> None:
            while not ended.wait(0.03):
                worker.offer(frame(time.time_ns(), disc))

        camera = threading.Thread(target=feed)
        camera.start()
        try:
            return worker.extract(WAIT_S)
        finally:
            ended.set()
            camera.join()

    def test_nothing_before_extraction_then_an_answer_for_every_frame(self, worker, found) -> None:
        worker.offer(frame(1000))
        time.sleep(0.05)
        assert not found and not worker.tracking
        assert self.extract(worker).stamp_ns == found[0].stamp_ns
        last_ns = time.time_ns()
        worker.offer(frame(last_ns))
        until(lambda: found[-1].stamp_ns == last_ns)

    def test_an_absent_object_is_refused_and_the_next_try_counts(self, worker) -> None:
        with pytest.raises(QueryError, match="red button"):
            self.extract(worker, disc=False)
        assert not worker.tracking
        self.extract(worker)
        assert worker.tracking

    def test_no_frame_no_extraction(self, worker) -> None:
        with pytest.raises(HardwareError, match="no camera frame"):
            worker.extract(0.05)


class TestStep:
    """How long a worker has been at its step, which is how a hang is known."""

    def test_a_step_that_lasts_is_seen_and_a_request_that_lasts_is_none(self) -> None:
        inside, go_on = threading.Event(), threading.Event()

        class Slow(Worker):
            def step(self) -> None:
                inside.set()
                go_on.wait(10.0)

        worker = Slow("slow", pytest.fail)
        assert worker.step_s == 0.0
        worker.start()
        inside.wait(10.0)
        before_s = worker.step_s
        until(lambda: worker.step_s > before_s + 0.02)
        go_on.set()
        begun, ended = threading.Event(), threading.Event()
        asker = threading.Thread(target=lambda: worker.ask(lambda: (begun.set(), ended.wait(10.0)), 20.0))
        asker.start()
        begun.wait(10.0)
        assert worker.step_s == 0.0
        ended.set()
        asker.join()
        worker.stop()
        assert worker.step_s == 0.0


def test_latencies_do_not_grow_for_ever() -> None:
    latencies = RecentLatencies()
    for k in range(5 * KEPT):
        latencies.add("policy", float(k))
    values = latencies.values()
    assert values["policy_count"] == str(5 * KEPT)
    assert float(values["policy_p50_ms"]) > 3 * KEPT
