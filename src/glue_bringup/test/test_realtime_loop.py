"""The real-time loop with shipped parts around a robot and a camera that exist only here."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD
from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import FR3, RobotModel
from glue_bringup.loop.action_source import Decision
from glue_bringup.loop.realtime_loop import RealtimeLoop, Robot
from glue_bringup.task_config import load_task
from glue_perception.errors import HardwareError
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.pipeline import build_pipeline
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, CameraFrame, RobotState

HOME = np.array(PANDA_HOME_RAD)
HAND = make_transform(np.eye(3), np.array([0.0, 0.0, 0.1034]))
START = ArmKinematics(FR3).flange_pose(HOME) @ HAND
DOWN, START_M = START[:3, :3], START[:3, 3]


class PerfectArm:
    """Is where it was told to be, and remembers every target with its time."""

    def __init__(self) -> None:
        self.T = START
        self.targets: list[tuple[float, np.ndarray]] = []
        self.started = self.stopped = 0

    def start(self) -> None:
        self.started += 1

    def state(self) -> RobotState:
        return RobotState(time.time_ns(), HOME, np.zeros(7), self.T, 0.02)

    def set_target(self, T_base_ee) -> None:
        self.T = np.array(T_base_ee)
        self.targets.append((time.monotonic(), self.T[:3, 3]))

    def stop(self) -> None:
        self.stopped += 1


class NullGripper:
    def command(self, width_m: float) -> None:
        pass

    def width_m(self) -> float:
        return 0.02

    def stop(self) -> None:
        pass


class DiscCamera:
    """30 pictures a second of a red disc on grey, until `limit` frames are out; then an error or the end."""

    def __init__(self, limit: int = 10_000, end: str = "error") -> None:
        rgb = np.full((240, 320, 3), 120, np.uint8)
        rows, cols = np.mgrid[:240, :320]
        rgb[(rows - 120) ** 2 + (cols - 160) ** 2 < 30**2] = (210, 15, 15)
        rgb[::16, ::16] = 60
        self.rgb, self.limit, self.end, self.count = rgb, limit, end, 0

    def read(self, timeout_s: float) -> CameraFrame | None:
        if self.count >= self.limit:
            if self.end == "end":
                return None
            raise HardwareError("the camera is gone")
        self.count += 1
        time.sleep(1 / 30)
        K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
        return CameraFrame(time.time_ns(), "camera", self.rgb.copy(), K)

    def close(self) -> None:
        pass


class Forward:
    """Chunks that go straight on at 0.1 m/s in x; may be slow, or fail."""

    def __init__(self, delay_s: float = 0.0, fail_after: int | None = None) -> None:
        self.delay_s, self.fail_after, self.count = delay_s, fail_after, 0

    def reset(self, observation) -> None:
        self.start_ns = time.time_ns()

    def note_in_force(self, stamp_ns, now_ns) -> None:
        pass

    def note_held(self, now_ns) -> None:
        pass

    def decide(self, observation) -> Decision:
        self.count += 1
        if self.fail_after is not None and self.count > self.fail_after:
            raise RuntimeError("the network broke")
        time.sleep(self.delay_s)
        seconds = (observation.stamp_ns - self.start_ns) / 1e9 + 0.1 * np.arange(16)
        position = START_M + np.outer(seconds, [0.1, 0, 0])
        rotation = np.tile(rotation_6d_from_matrix(DOWN), (16, 1))
        return Decision(ActionChunk(observation.stamp_ns, 0.1, position, rotation, np.full(16, 0.02)))


def make(camera=None, source=None, duration_s: float = 1.5):
    task = replace(load_task("push_button").for_simulation(), max_duration_s=duration_s, settle_s=0.2)
    arm, latencies = PerfectArm(), LatencyRecorder()
    loop = RealtimeLoop(
        task,
        Robot(arm, NullGripper(), camera or DiscCamera(), RobotModel.FR3),
        build_pipeline(task.perception, task.queries),
        source or Forward(),
        latencies,
    )
    return loop, arm, latencies


def largest_step_m(arm: PerfectArm) -> float:
    positions = np.array([p for _, p in arm.targets])
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).max())


def loop_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "realtime_loop"]


def test_follows_the_chunks_and_ends_at_the_time_limit() -> None:
    loop, arm, latencies = make(duration_s=2.0)
    result = loop.run(3, lambda: False)
    assert (result.seed, result.success) == (3, False)
    assert result.duration_s == pytest.approx(2.0, abs=0.5)
    assert arm.T[0, 3] > START_M[0] + 0.05
    assert abs(arm.T[1, 3]) < 1e-3
    assert arm.started == 1
    assert arm.stopped >= 1
    assert largest_step_m(arm) < 0.5 * 0.05
    assert result.chunks >= 5
    assert latencies.summary().keys() >= {"extraction", "perception", "policy", "control", "capture_to_chunk"}
    assert not loop_threads()


def test_success_ends_the_episode_early() -> None:
    loop, _, _ = make(duration_s=10.0)
    begin = time.monotonic()
    result = loop.run(0, lambda: time.monotonic() - begin > 1.0)
    assert result.success
    assert result.duration_s < 5.0


@pytest.mark.parametrize("end", ["error", "end"])
def test_a_camera_that_vanishes_stops_the_arm(end) -> None:
    loop, arm, _ = make(DiscCamera(limit=20, end=end), duration_s=10.0)
    with pytest.raises(HardwareError, match="camera"):
        loop.run(0, lambda: False)
    assert arm.stopped >= 1
    assert not loop_threads()


def test_a_camera_that_stalls_holds_the_arm() -> None:
    class Stalling(DiscCamera):
        def read(self, timeout_s: float) -> CameraFrame | None:
            if self.count == 25:
                self.count += 1
                time.sleep(1.4)
            return super().read(timeout_s)

    loop, arm, _ = make(Stalling(), duration_s=3.5)
    result = loop.run(0, lambda: False)
    assert result.holds.get("stale_frame", 0) >= 1
    assert largest_step_m(arm) < 0.5 * 0.05
    positions = np.array([p[0] for _, p in arm.targets])
    still = np.convolve(np.abs(np.diff(positions)) < 1e-7, np.ones(20), "valid")
    assert still.max() == 20


def test_a_policy_that_fails_stops_the_arm() -> None:
    loop, arm, _ = make(source=Forward(fail_after=4), duration_s=10.0)
    with pytest.raises(RuntimeError, match="network broke"):
        loop.run(0, lambda: False)
    assert arm.stopped >= 1
    assert not loop_threads()


def test_a_slow_policy_misses_deadlines_and_they_are_counted() -> None:
    loop, _, _ = make(source=Forward(delay_s=0.25), duration_s=2.5)
    result = loop.run(0, lambda: False)
    assert result.deadline_misses >= result.chunks > 3


def test_nothing_moves_if_the_policy_cannot_begin() -> None:
    class Broken(Forward):
        def reset(self, observation) -> None:
            raise RuntimeError("no weights")

    loop, arm, _ = make(source=Broken())
    with pytest.raises(RuntimeError, match="no weights"):
        loop.run(0, lambda: False)
    assert arm.started == 0
    assert not arm.targets
    assert not loop_threads()


def test_nothing_moves_if_the_object_is_not_there() -> None:
    from glue_perception.errors import QueryError

    camera = DiscCamera()
    camera.rgb[:] = 120
    loop, arm, _ = make(camera)
    with pytest.raises(QueryError, match="red button"):
        loop.run(0, lambda: False)
    assert arm.started == 0
    assert not arm.targets
