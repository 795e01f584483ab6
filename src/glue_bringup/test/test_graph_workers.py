"""What the graph's nodes are shells of: joining by stamp, workers with requests, control that outlives faults."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.loop.action_source import Decision
from glue_bringup.loop.control_worker import FAULT, ControlWorker
from glue_bringup.loop.observation_join import ObservationJoin
from glue_bringup.loop.peers import EPISODE_OVER_S, Peers, gone
from glue_bringup.loop.perception_worker import PerceptionWorker
from glue_bringup.loop.policy_worker import PolicyWorker
from glue_bringup.loop.recent_latencies import KEPT, RecentLatencies
from glue_bringup.loop.task_run import EpisodeEnd, EpisodeWatch
from glue_bringup.loop.worker import Worker
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_bringup.task_config import load_task
from glue_perception.errors import HardwareError, NotReadyError, QueryError
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.pipeline import build_pipeline
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

DOWN = np.diag([1.0, -1.0, -1.0])
START_M = np.array([0.45, 0.0, 0.4])
TASK = load_task("push_button").for_simulation()
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
WAIT_S = 30.0


def frame(stamp_ns: int, disc: bool = True) -> CameraFrame:
    rgb = np.full((240, 320, 3), 120, np.uint8)
    rows, cols = np.mgrid[:240, :320]
    if disc:
        rgb[(rows - 120) ** 2 + (cols - 160) ** 2 < 30**2] = (210, 15, 15)
    rgb[::16, ::16] = 60
    return CameraFrame(stamp_ns, "camera", rgb, K)


def patches(stamp_ns: int) -> KeyPatches:
    one = np.array([0])
    return KeyPatches(stamp_ns, np.array([[14, 14]]), np.array([[160.0, 120.0]]), np.array([True]), one, one)


def state(stamp_ns: int, x_m: float = 0.45) -> RobotState:
    return RobotState(stamp_ns, np.zeros(7), np.zeros(7), make_transform(DOWN, np.array([x_m, 0, 0.4])), 0.02)


def chunk(stamp_ns: int) -> ActionChunk:
    position = START_M + np.outer(0.1 * np.arange(16), [0.1, 0, 0])
    return ActionChunk(
        stamp_ns, 0.1, position, np.tile(rotation_6d_from_matrix(DOWN), (16, 1)), np.full(16, 0.02)
    )


def until(condition) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
        assert gaps_ns.min() >= 0.08e9
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


class TestPeers:
    def test_only_who_was_there_is_missed(self) -> None:
        now_s = [10.0]
        peers = Peers(lambda: now_s[0])
        peers.note("arm_node", False)
        assert peers.lost() == ()
        for name in ("policy_node", "arm_node"):
            peers.note(name, True)
            peers.note(name, False)
        peers.note("arm_node", False)
        assert gone(peers.lost()) == "arm_node and policy_node are gone"
        now_s[0] += 0.25
        assert peers.lost(0.25) == ("arm_node", "policy_node") and peers.lost(0.3) == ()
        peers.note("arm_node", True)
        assert gone(peers.lost()) == "policy_node is gone"
        peers.forget_lost()
        assert peers.lost() == ()
        assert peers.is_down("policy_node") and not peers.is_down("arm_node")

    def test_who_was_replaced_in_no_time_is_missed_too(self) -> None:
        peers = Peers()
        for life in (7, 7, 8, 8, 7):  # the last one was under way for long
            peers.note_life("perception_node", life)
        assert peers.lost(100.0) == ("perception_node",)
        peers.forget_lost()
        peers.note_life("perception_node", 8)
        assert peers.lost() == ()

    def test_who_hangs_is_missed_until_it_goes_on(self) -> None:
        now_s = [10.0]
        peers = Peers(lambda: now_s[0])
        peers.note_hang("camera_node", True)
        assert peers.lost() == ("camera_node",)
        peers.forget_lost()
        assert peers.lost() == ()
        peers.note_hang("camera_node", True)  # it says so again and again
        assert peers.lost() == ("camera_node",)
        peers.note_hang("camera_node", False)
        peers.note("policy_node", True)
        peers.note_hang("policy_node", True)
        assert peers.lost() == ("policy_node",) and not peers.is_down("policy_node")
        peers.note_hang("policy_node", False)
        assert peers.lost() == ()
        peers.note_hang("policy_node", True)
        peers.note("policy_node", False)
        peers.note_hang("policy_node", False)  # was under way when it was killed
        assert peers.lost() == ("policy_node",) and peers.is_down("policy_node")

    @pytest.mark.parametrize("note", [lambda p, ok: p.note("a", ok), lambda p, ok: p.note_hang("a", not ok)])
    def test_who_stood_still_for_long_is_missed_until_the_next_episode(self, note) -> None:
        now_s = [10.0]
        peers = Peers(lambda: now_s[0])
        note(peers, True)
        for stood_still_s, missed in ((0.9 * EPISODE_OVER_S, ()), (1.1 * EPISODE_OVER_S, ("a",))):
            note(peers, False)
            now_s[0] += stood_still_s
            note(peers, True)
            assert peers.lost(EPISODE_OVER_S) == missed
        peers.forget_lost()
        assert peers.lost() == ()


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


class Robot:
    """An arm that is where it was told to be, until `broken`."""

    def __init__(self) -> None:
        self.T = make_transform(DOWN, START_M)
        self.broken = self.refuses = False
        self.started = self.stopped = 0

    def start(self) -> None:
        if self.refuses:
            raise HardwareError("the robot is in reflex")
        self.started += 1

    def state(self) -> RobotState:
        if self.broken:
            raise HardwareError("the robot stopped by reflex")
        return RobotState(time.time_ns(), np.zeros(7), np.zeros(7), self.T, 0.02)

    def set_target(self, T_base_ee) -> None:
        self.T = np.array(T_base_ee)

    def stop(self) -> None:
        self.stopped += 1

    def command(self, width_m: float) -> None:
        pass

    def width_m(self) -> float:
        return 0.02

    def recover(self) -> None:
        self.broken = False


class Report:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.states = 0
        self.lines: list[str] = []
        self.in_force_ns: list[int] = []
        self.held_ns: list[int] = []

    def state(self, state) -> None:
        self.states += 1

    def in_force(self, chunk_stamp_ns, now_ns) -> None:
        self.in_force_ns.append(chunk_stamp_ns)

    def held(self, now_ns) -> None:
        self.held_ns.append(now_ns)

    def target(self, stamp_ns, T_base_ee) -> None:
        pass

    def line(self, line) -> None:
        self.lines.append(line)

    def safety_event(self, stamp_ns, mode, reason) -> None:
        self.events.append((mode, reason))


class TestControlWorker:
    @pytest.fixture
    def robot(self) -> Robot:
        return Robot()

    @pytest.fixture
    def report(self) -> Report:
        return Report()

    @pytest.fixture
    def peers(self) -> Peers:
        return Peers()

    @pytest.fixture
    def worker(self, robot, report, peers):
        # Fresh inputs are the supervisor's own subject; here nothing must go stale on a loaded machine.
        watchdogs = replace(
            TASK.safety.watchdogs, max_state_age_s=5.0, max_frame_age_s=30.0, max_key_patches_age_s=30.0
        )
        supervisor = SafetySupervisor(replace(TASK.safety, watchdogs=watchdogs), limits_for(RobotModel.FR3))
        worker = ControlWorker(
            supervisor, robot, robot, robot.recover, 100.0, peers, report, RecentLatencies(), pytest.fail
        )
        worker.start()
        worker.reset()
        yield worker
        worker.stop()
        assert robot.stopped > 0

    def test_follows_a_chunk_and_holds_where_it_ends(self, worker, robot, report) -> None:
        assert not report.held_ns  # to wait for the first chunk is no hold
        stamp_ns = time.time_ns()
        worker.submit(chunk(stamp_ns))
        until(lambda: ("hold", "chunk_expired") in report.events)
        assert ("active", "following") in report.events
        assert report.in_force_ns == [stamp_ns]
        assert min(report.held_ns) > stamp_ns
        assert robot.T[0, 3] > START_M[0] + 0.05

    def test_an_operators_hold_lasts_until_release(self, worker, report) -> None:
        worker.submit(chunk(time.time_ns()))
        until(lambda: ("active", "following") in report.events)
        worker.hold("coffee")
        until(lambda: ("hold", "coffee") in report.events)
        worker.release()
        until(lambda: report.events[-1] == ("hold", "waiting"))

    def test_while_a_peer_is_lost_the_arm_is_held_whatever_the_operator_does(
        self, worker, report, peers
    ) -> None:
        peers.note("perception_node", True)
        worker.submit(chunk(time.time_ns()))
        until(lambda: ("active", "following") in report.events)
        peers.note("perception_node", False)
        until(lambda: ("hold", "perception_node is gone") in report.events)
        worker.hold("coffee")
        until(lambda: report.events[-1] == ("hold", "coffee"))
        worker.release()
        until(lambda: report.events[-1] == ("hold", "perception_node is gone"))
        worker.submit(chunk(time.time_ns()))
        peers.note("perception_node", True)
        until(lambda: report.events[-1] in {("hold", "waiting"), ("active", "following")})

    def test_an_emergency_stop_outlasts_release_and_reset(self, worker, report) -> None:
        worker.submit(chunk(time.time_ns()))
        until(lambda: ("active", "following") in report.events)
        worker.emergency_stop("a child")
        until(lambda: report.events[-1][0] == "hold")
        stopped = report.events[-1]
        worker.release()
        worker.reset()
        worker.submit(chunk(time.time_ns()))
        time.sleep(0.1)
        assert report.events[-1] == stopped
        assert "a child" in report.lines[-1]
        worker.reset_emergency_stop()
        until(lambda: report.events[-1] == ("hold", "waiting"))

    def test_an_episode_begins_with_those_who_are_there(self, worker, report, peers) -> None:
        for alive in (True, False):
            peers.note("sim_node", alive)
        until(lambda: report.events[-1] == ("hold", "sim_node is gone"))
        worker.reset()
        until(lambda: report.events[-1] == ("hold", "waiting"))

    def test_to_come_to_rest_is_no_hold(self, worker, report) -> None:
        worker.submit(chunk(time.time_ns()))
        until(lambda: ("active", "following") in report.events)
        worker.come_to_rest()
        until(lambda: report.events[-1] == ("hold", "waiting"))
        worker.submit(chunk(time.time_ns()))
        until(lambda: report.events[-1] == ("active", "following"))

    def test_a_robot_that_refuses_to_start_can_be_recovered(self, worker, robot, report) -> None:
        worker.stop()
        robot.refuses = True
        worker.start()
        until(lambda: worker.fault is not None)
        assert report.events[-1] == (FAULT, "the robot is in reflex")
        robot.refuses = False
        worker.recover()
        worker.reset()

    def test_a_fault_ends_control_until_recovery(self, worker, robot, report) -> None:
        robot.broken = True
        until(lambda: worker.fault is not None)
        assert report.events[-1] == (FAULT, "the robot stopped by reflex")
        with pytest.raises(HardwareError, match="recover_from_error"):
            worker.reset()
        worker.recover()
        assert worker.fault is None and robot.started == 2
        assert ("hold", "recovered") in report.events
        worker.reset()
        with pytest.raises(NotReadyError, match="no fault"):
            worker.recover()

    @pytest.mark.parametrize("again", ["recovered", "started"])
    def test_chunks_of_before_a_new_start_move_nothing(self, worker, robot, report, again) -> None:
        worker.submit(chunk(time.time_ns()))
        until(lambda: ("active", "following") in report.events)
        if again == "recovered":
            robot.broken = True
            until(lambda: worker.fault is not None)
            worker.recover()
        else:
            worker.stop()
            worker.start()
        until(lambda: ("hold", again) in report.events[1:])
        states, T = report.states, robot.T.copy()
        worker.submit(chunk(time.time_ns()))  # of a policy that has not yet seen that its episode is over
        until(lambda: report.states > states + 5)
        assert report.events[-1][0] == "hold"
        np.testing.assert_array_equal(robot.T, T)
        worker.reset()
        worker.submit(chunk(time.time_ns()))
        until(lambda: report.events[-1] == ("active", "following"))

    def test_stop_and_start_again(self, worker, robot, report) -> None:
        worker.stop()
        states = report.states
        worker.start()
        until(lambda: report.states > states)
        assert robot.started == 2


def test_latencies_do_not_grow_for_ever() -> None:
    latencies = RecentLatencies()
    for k in range(5 * KEPT):
        latencies.add("policy", float(k))
    values = latencies.values()
    assert values["policy_count"] == str(5 * KEPT)
    assert float(values["policy_p50_ms"]) > 3 * KEPT


def test_the_arm_moves_only_while_the_deadman_is_held() -> None:
    watchdogs = replace(
        TASK.safety.watchdogs,
        max_state_age_s=5.0,
        max_frame_age_s=30.0,
        max_key_patches_age_s=30.0,
        max_deadman_age_s=30.0,
    )
    supervisor = SafetySupervisor(replace(TASK.safety, watchdogs=watchdogs), limits_for(RobotModel.FR3))
    robot, report = Robot(), Report()
    worker = ControlWorker(
        supervisor, robot, robot, robot.recover, 100.0, Peers(), report, RecentLatencies(), pytest.fail
    )
    worker.start()
    worker.reset()
    try:
        worker.submit(chunk(time.time_ns()))
        until(lambda: ("hold", "deadman_released") in report.events)
        assert robot.T[0, 3] == pytest.approx(START_M[0])
        worker.note_deadman(True)
        worker.submit(chunk(time.time_ns()))
        until(lambda: ("active", "following") in report.events)
        worker.note_deadman(False)
        until(lambda: report.events[-1] == ("hold", "deadman_released"))
    finally:
        worker.stop()
