"""The recorder takes from many threads, loses nothing, never holds up control, and tells of failures."""

import resource
import threading
import time

import numpy as np
import pytest

from glue_bringup.recording import episode_recorder
from glue_bringup.recording.episode_recorder import EpisodeRecorder, Outcome
from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError, HardwareError
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

T0_NS = 1_700_000_000_000_000_000
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def frame(k: int, size: tuple[int, int] = (48, 64)) -> CameraFrame:
    rgb = np.random.default_rng(k).integers(0, 256, (*size, 3), dtype=np.uint8)
    return CameraFrame(T0_NS + k, "c", rgb, K)


def state(k: int) -> RobotState:
    return RobotState(T0_NS + k, np.full(7, k / 3), np.zeros(7), np.eye(4), 0.01)


def patches(k: int) -> KeyPatches:
    one = np.array([0])
    return KeyPatches(T0_NS + k, np.array([[1, 2]]), np.array([[3.0, 4.0]]), np.array([True]), one, one)


def chunk(k: int) -> ActionChunk:
    return ActionChunk(
        T0_NS + k, 0.1, np.full((2, 3), k / 7), np.tile([1.0, 0, 0, 0, 1, 0], (2, 1)), np.zeros(2)
    )


def run_together(*works) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_three_threads_and_nothing_is_lost(tmp_path):
    n = 100

    def perceive() -> None:
        for k in range(n):
            recorder.frame(frame(k))
            recorder.robot_state(state(k))
            recorder.key_patches(patches(k))

    def decide() -> None:
        for k in range(n):
            recorder.chunk(chunk(k))
            recorder.demonstrated_action(chunk(k))

    def control() -> None:
        pose = np.eye(4)
        for k in range(n):
            pose[0, 3] = k  # the caller's array may change after the call
            recorder.target(T0_NS + k, pose)
            recorder.safety_event(T0_NS + k, "active", str(k))

    recorder = EpisodeRecorder(tmp_path / "bag", {"task": "t"})
    run_together(perceive, decide, control)
    recorder.close(Outcome.SUCCESS)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.metadata == {"task": "t", "outcome": "success"}
        stamps = [T0_NS + k for k in range(n)]
        assert [f.stamp_ns for f in bag.frames()] == stamps
        assert all(np.array_equal(f.rgb, frame(k).rgb) for k, f in enumerate(bag.frames()))
        assert [s.stamp_ns for s in bag.robot_states()] == stamps
        assert [p.stamp_ns for p in bag.key_patches()] == stamps
        assert [c.stamp_ns for c in bag.chunks()] == stamps
        assert [c.stamp_ns for c in bag.demonstrated_actions()] == stamps
        assert [T[0, 3] for _, T in bag.targets()] == list(range(n))
        assert [e.reason for e in bag.safety_events()] == [str(k) for k in range(n)]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_outcome_is_recorded(tmp_path, outcome):
    with EpisodeRecorder(tmp_path / "bag", {}) as recorder:
        recorder.close(outcome)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.metadata["outcome"] == outcome.value


def test_an_exception_aborts_and_passes(tmp_path):
    with pytest.raises(HardwareError, match="reflex"), EpisodeRecorder(tmp_path / "bag", {}) as recorder:
        recorder.frame(frame(0))
        raise HardwareError("reflex")
    with BagReader(tmp_path / "bag") as bag:
        assert bag.metadata["outcome"] == "aborted"
        assert len(list(bag.frames())) == 1


def test_an_existing_path_is_refused(tmp_path):
    with pytest.raises(BagError, match="exists already"):
        EpisodeRecorder(tmp_path, {})


def test_only_frames_wait_for_a_slow_disk(tmp_path, monkeypatch):
    go_on = threading.Event()
    write = BagWriter.frame

    def slow(self: BagWriter, item: CameraFrame) -> None:
        go_on.wait(20)
        write(self, item)

    monkeypatch.setattr(BagWriter, "frame", slow)
    monkeypatch.setattr(episode_recorder, "FRAME_QUEUE_BYTES", 3 * frame(0).rgb.nbytes)
    recorder = EpisodeRecorder(tmp_path / "bag", {})
    producer = threading.Thread(target=lambda: [recorder.frame(frame(k)) for k in range(10)])
    producer.start()
    producer.join(0.3)
    assert producer.is_alive(), "the queue must be full"
    control = threading.Thread(target=lambda: [recorder.target(T0_NS + k, np.eye(4)) for k in range(1000)])
    control.start()
    control.join(10)
    assert not control.is_alive()
    go_on.set()
    producer.join(20)
    recorder.close(Outcome.SUCCESS)
    with BagReader(tmp_path / "bag") as bag:
        assert len(list(bag.frames())) == 10
        assert len(list(bag.targets())) == 1000


def test_a_full_disk_surfaces_but_never_in_control(tmp_path):
    recorder = EpisodeRecorder(tmp_path / "bag", {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))
    try:
        with pytest.raises(BagError, match="disk full"):
            for k in range(100):
                recorder.frame(frame(k, (240, 320)))
                time.sleep(0.001)
        recorder.target(T0_NS, np.eye(4))
        recorder.safety_event(T0_NS, "hold", "x")
        for late in (lambda: recorder.chunk(chunk(0)), lambda: recorder.robot_state(state(0))):
            with pytest.raises(BagError, match=str(tmp_path / "bag")):
                late()
        with pytest.raises(BagError, match="disk full"):
            recorder.close(Outcome.SUCCESS)
        recorder.close(Outcome.SUCCESS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.warns(UnfinishedBagWarning), BagReader(tmp_path / "bag") as bag:
        assert len(list(bag.frames())) > 3
        assert "outcome" not in bag.metadata


def test_a_stuck_disk_is_an_error_not_endless_memory(tmp_path, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(BagWriter, "target", lambda *_: go_on.wait(20))
    monkeypatch.setattr(episode_recorder, "MAX_SMALL_WAITING", 50)
    recorder = EpisodeRecorder(tmp_path / "bag", {})
    for k in range(100):
        recorder.target(T0_NS + k, np.eye(4))
    with pytest.raises(BagError, match="stuck"):
        recorder.frame(frame(0))
    go_on.set()
    with pytest.raises(BagError, match="stuck"):
        recorder.close(Outcome.SUCCESS)
