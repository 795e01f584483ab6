"""Demonstrations: verdicts, audits, and what a killed process, a full disk and a slow disk leave."""

import errno
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import demonstrations
import pytest
from demonstrations import play

from glue_bringup.recording import episode_recorder
from glue_bringup.recording.audit import AuditConfig, EpisodeAudit, Severity, audit_bag, refusals
from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder, RecorderState
from glue_bringup.recording.episode_recorder import KINDS, Outcome
from glue_perception.bags import topics
from glue_perception.bags.reader import BagReader
from glue_perception.bags.repair import repair_bag
from glue_perception.errors import ConfigError, NotReadyError
from glue_policy.data.from_bags import training_set_of

METADATA = {"task": "push_button", "operator": "Ada", "task_config": "x"}


@pytest.fixture
def recorder(tmp_path):
    return DemonstrationRecorder(tmp_path, METADATA)


def checks(episode) -> set[str]:
    return {f.check for f in episode.findings if f.severity is Severity.REFUSE}


def test_a_sound_demonstration_is_recorded_and_trained_on(recorder, tmp_path):
    path = recorder.start({"seed": "7"})
    play(recorder)
    episode = recorder.success()
    assert (episode.outcome, episode.findings, episode.lost, episode.failure) == (Outcome.SUCCESS, (), {}, "")
    assert episode.figures["frames"] == 60
    assert episode.figures["action_hz"] == pytest.approx(10.0, abs=0.01)
    with BagReader(path) as bag:
        assert bag.metadata["outcome"] == "success"
        assert (bag.metadata["operator"], bag.metadata["seed"]) == ("Ada", "7")
        assert json.loads(bag.metadata["audit"])["figures"] == episode.figures
        assert len(list(bag.frames())) == 60
    assert len(training_set_of(tmp_path, 32, 0.1)) == 20


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [("success", "success"), ("failure", "failure"), ("discard", "discarded"), ("abort", "aborted")],
)
def test_every_verdict_is_kept_in_the_bag(recorder, verdict, outcome):
    path = recorder.start()
    play(recorder)
    recorder.stop()
    recorder.frame(demonstrations.frame(99, demonstrations.stamp_ns(99)))  # after the stop: not recorded
    getattr(recorder, verdict)()
    with BagReader(path) as bag:
        assert bag.metadata["outcome"] == outcome
        assert len(list(bag.frames())) == 60


def test_start_and_verdicts_come_in_turn(recorder, tmp_path):
    with pytest.raises(NotReadyError, match="start one first"):
        recorder.success()
    play(recorder)  # between episodes: ignored
    first = recorder.start()
    with pytest.raises(NotReadyError, match="verdict"):
        recorder.start()
    recorder.stop()
    with pytest.raises(NotReadyError, match="verdict"):
        recorder.start()
    recorder.close()
    assert recorder.state is RecorderState.IDLE
    assert recorder.start() != first
    recorder.close()
    recorder.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["episode_000000", "episode_000001"]


def leave_out(kind, ks):
    return lambda of, k: None if of == kind and k in ks else {}


def change(kind, ks, **values):
    return lambda of, k: dict(values) if of == kind and k in ks else {}


def both_silent(of, k):
    """The command closes the hand at action 5; the hand stays open."""
    return {"width_m": 0.0} if of == "action" and k >= 15 else {}


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (leave_out("frame", range(31, 37)), "frame_gap"),
        (leave_out("frame", range(1, 60, 4)), "dropped_frames"),
        (leave_out("action", {30}), "action_gap"),
        (leave_out("action", range(60)), "no_actions"),
        (leave_out("frame", {30}), "action_without_image"),
        (leave_out("state", {30}), "action_without_state"),
        (change("state", {20}, skew_ns=-45_000_000), "state_skew"),
        (change("state", range(60), frozen=(3,)), "frozen_joint"),
        (change("state", range(10, 55), frozen=tuple(range(7))), "frozen_joint"),
        (change("state", {20}, width_m=0.2), "gripper_range"),
        (both_silent, "gripper_silent"),
    ],
)
def test_an_unfit_demonstration_is_refused_with_the_reason(recorder, tmp_path, spoil, check):
    path = recorder.start()
    play(recorder, 100 if check == "gripper_silent" else 60, spoil)
    episode = recorder.success()
    assert check in checks(episode)
    assert episode.outcome is Outcome.REFUSED
    with BagReader(path) as bag:  # marked, never deleted
        assert (bag.metadata["outcome"], bag.metadata["verdict"]) == ("refused", "success")
        assert bag.metadata["refused_because"]


def test_a_failed_demonstration_stays_a_failure_however_it_was_recorded(recorder):
    recorder.start()
    play(recorder, spoil=leave_out("frame", range(31, 37)))
    assert recorder.failure().outcome is Outcome.FAILURE


def test_a_slip_of_the_finger_is_refused(recorder):
    recorder.start()
    play(recorder, 6)
    assert "too_short" in checks(recorder.success())


def test_a_grasped_object_is_no_silent_gripper():
    audit = EpisodeAudit()
    for k in range(100):
        t_ns = demonstrations.stamp_ns(k)
        width_m = 0.07 if k < 20 else max(0.03, 0.07 - 0.004 * (k - 20))  # closes on 30 mm and stays
        audit.frame(t_ns)
        audit.robot_state(demonstrations.state(k, t_ns, width_m=width_m))
        if k % 3 == 0:
            audit.action(demonstrations.action(k, t_ns, width_m=0.07 if k < 18 else 0.0))
    assert refusals(audit.findings()) == []


def test_what_happens_before_the_first_action_is_not_judged():
    audit = EpisodeAudit()
    audit.frame(demonstrations.T0_NS - 2_000_000_000)
    audit.robot_state(demonstrations.state(0, demonstrations.T0_NS - 2_000_000_000), measured_ns=1)
    for k in range(60):
        t_ns = demonstrations.stamp_ns(k)
        audit.frame(t_ns)
        audit.robot_state(demonstrations.state(k, t_ns), t_ns)
        if k % 3 == 0:
            audit.action(demonstrations.action(k, t_ns))
    assert audit.findings() == []


def test_holds_are_said_and_a_recorded_bag_gives_the_same_findings(recorder):
    path = recorder.start()
    play(recorder, spoil=leave_out("frame", range(31, 37)))
    recorder.safety_event(demonstrations.T0_NS, "hold_ramp", "stale_frame")
    assert "no image for" in recorder.status()
    episode = recorder.success()
    assert "hold" in {f.check for f in episode.findings}
    with BagReader(path) as bag:
        again = audit_bag(bag, AuditConfig()).findings()
    assert tuple(again) == episode.findings


def test_limits_are_checked():
    with pytest.raises(ConfigError, match="max_skew_s must be positive"):
        AuditConfig(max_skew_s=0.0)


class Disk(io.FileIO):
    """A file on a disk that is full after some bytes, or waits for a permit before each write."""

    room: float = float("inf")
    gate: threading.Event | None = None

    def write(self, data) -> int:
        if self.gate is not None:
            self.gate.wait(20)
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def on_disk(room: float = float("inf"), gate: threading.Event | None = None):
    def open_file(path: Path):
        disk = Disk(path, "xb")
        disk.room, disk.gate = room, gate
        return disk

    return open_file


@pytest.mark.parametrize("room", [60_000, 400_000])
def test_a_full_disk_stops_no_one_and_every_lost_message_is_counted(tmp_path, room):
    recorder = DemonstrationRecorder(tmp_path, METADATA, open_file=on_disk(room))
    path = recorder.start()
    play(recorder, 120)  # raises nothing
    recorder.stop()
    episode = recorder.success()
    assert episode.outcome is Outcome.REFUSED
    assert "disk full" in episode.failure
    assert "lost_messages" in checks(episode)
    assert repair_bag(path) is not None
    with BagReader(path) as bag:
        assert bag.metadata["outcome"] == "unfinished"
        counts = bag.summary().message_counts
        for topic, kind in KINDS.items():
            offered = {"demonstrated_action": 40, "chunk": 0, "safety_event": 0}.get(kind, 120)
            assert counts.get(topic, 0) + episode.lost.get(kind, 0) == offered, kind
    assert recorder.start() != path, "the next episode may find room again"
    recorder.close()


def test_the_operator_is_told_of_a_full_disk_while_recording(tmp_path):
    recorder = DemonstrationRecorder(tmp_path, METADATA, open_file=on_disk(10_000))
    recorder.start()
    seen = threading.Event()
    for k in range(2000):
        recorder.frame(demonstrations.frame(k, demonstrations.stamp_ns(k), (240, 320)))
        if "NOT RECORDING" in recorder.status():
            seen.set()
            break
    assert seen.is_set()
    recorder.close()


def test_a_slow_disk_holds_up_nobody_and_what_is_lost_is_counted(tmp_path, monkeypatch):
    gate = threading.Event()
    gate.set()
    monkeypatch.setattr(episode_recorder, "FRAME_QUEUE_BYTES", 10 * demonstrations.frame(0, 0).rgb.nbytes)
    recorder = DemonstrationRecorder(tmp_path, METADATA, open_file=on_disk(gate=gate))
    path = recorder.start()
    gate.clear()  # the disk hangs: whatever waits for it would wait for ever
    play(recorder, 200)
    assert "lost" in recorder.status()
    gate.set()
    episode = recorder.success()
    assert episode.outcome is Outcome.REFUSED
    assert episode.lost.keys() == {"frame"}
    with BagReader(path) as bag:
        assert len(list(bag.frames())) + episode.lost["frame"] == 200
        assert len(list(bag.targets())) == len(list(bag.robot_states())) == 200
        assert "the recorder lost" in bag.metadata["refused_because"]


def test_after_kill_9_at_most_a_second_is_lost(tmp_path):
    for index in range(3):
        command = [sys.executable, demonstrations.__file__, str(tmp_path / str(index))]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = [int(child.stdout.readline()) for _ in range(7 + 23 * index)]
        child.kill()  # in the middle of whatever it does
        said += [int(line) for line in child.stdout.read().splitlines()]
        assert child.wait() == -9
        child.stdout.close()
        path = tmp_path / str(index) / "episode_000000"
        repair_bag(path)
        with BagReader(path) as bag:  # warnings are errors: it is whole
            assert bag.metadata["outcome"] == "unfinished"
            counts = bag.summary().message_counts
            newest = {}
            for topic, values in (
                (topics.TARGET, (t for t, _ in bag.targets())),
                (topics.ROBOT_STATE, (s.stamp_ns for s in bag.robot_states())),
                (topics.IMAGE, (f.stamp_ns for f in bag.frames())),
                (topics.DEMONSTRATED_ACTION, (a.stamp_ns for a in bag.demonstrated_actions())),
            ):
                newest[topic] = max(values) if counts.get(topic) else said[0]
        for topic, stamp in newest.items():
            assert said[-1] - stamp <= 1_000_000_000, f"{topic} of child {index}"
        if index > 0:
            assert all(counts.get(topic) for topic in newest)


@pytest.mark.parametrize(("frame_rate_hz", "gap_s"), [(60.0, 0.15), (30.0, 0.15), (5.0, 0.9)])
def test_a_slow_camera_may_have_longer_gaps(frame_rate_hz, gap_s):
    assert AuditConfig.at_rates(5.0, frame_rate_hz).max_frame_gap_s == pytest.approx(gap_s)
