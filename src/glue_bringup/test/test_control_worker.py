"""Control that outlives faults, lost peers and operators."""

import time
from dataclasses import replace

import numpy as np
import pytest
from waiting import until
from worker_inputs import DOWN, START_M, TASK, chunk

from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.loop.control_worker import FAULT, ControlWorker
from glue_bringup.loop.peers import Peers
from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_perception.errors import HardwareError, NotReadyError
from glue_perception.geometry import make_transform
from glue_perception.types import RobotState


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
