"""Rhythm, deadlines and mailboxes of the loop."""

import threading
import time

import numpy as np
import pytest

from glue_bringup.loop.deadlines import DeadlineCounter
from glue_bringup.loop.mailbox import Mailbox
from glue_bringup.loop.schedule import PolicySchedule

MS = 1_000_000


@pytest.mark.parametrize(("camera_hz", "jitter_ns"), [(30.0, 4e6), (29.9, 2e6), (30.1, 2e6)])
def test_every_third_frame_of_a_jittery_or_drifting_camera(camera_hz, jitter_ns) -> None:
    rng = np.random.default_rng(0)
    schedule = PolicySchedule(10.0)
    stamps = [round(i * 1e9 / camera_hz + rng.uniform(-jitter_ns, jitter_ns)) for i in range(1, 3001)]
    picked = [i for i, stamp in enumerate(stamps) if schedule.due(stamp)]
    assert picked == list(range(0, 3000, 3))


def test_a_gap_in_the_frames_does_not_cause_a_burst() -> None:
    schedule = PolicySchedule(10.0)
    stamps = [0, 33, 66, 100, 433, 466, 500, 533]
    assert [s for s in stamps if schedule.due(s * MS)] == [0, 100, 433, 500]


def test_lost_frames_do_not_slow_the_rhythm() -> None:
    rng = np.random.default_rng(0)
    schedule = PolicySchedule(10.0)
    stamps = [round(i * 1e9 / 30) for i in range(3001) if rng.uniform() > 0.1]
    picked = np.array([stamp for stamp in stamps if schedule.due(stamp)])
    assert len(picked) == pytest.approx(1000, abs=15)  # two in a row cost a period
    assert np.diff(picked).min() >= 50 * MS


@pytest.mark.parametrize("camera_hz", [15.0, 24.0, 27.0, 60.0])
def test_the_rate_holds_whatever_the_cameras_is(camera_hz) -> None:
    schedule = PolicySchedule(10.0)
    picked = [s for k in range(round(100 * camera_hz)) if schedule.due(s := round(k * 1e9 / camera_hz))]
    assert len(picked) == pytest.approx(1000, abs=15)
    assert np.diff(picked).min() >= 50 * MS


def test_deadlines_count_late_and_absent_chunks() -> None:
    counter = DeadlineCounter(10.0)
    for stamp_ms, submitted_ms in [(0, 60), (100, 201), (400, 460), (500, 600)]:
        counter.chunk(stamp_ms * MS, submitted_ms * MS)
    assert counter.due == 6
    assert counter.missed == 1 + 2


def test_no_chunk_no_deadline() -> None:
    assert (DeadlineCounter(10.0).due, DeadlineCounter(10.0).missed) == (0, 0)


def test_mailbox_keeps_the_newest() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.put(2)
    assert box.take(0.0) == 2
    assert box.take(0.0) is None


def test_mailbox_wakes_a_waiting_reader() -> None:
    box: Mailbox[str] = Mailbox()
    threading.Timer(0.05, box.put, args=("now",)).start()
    start = time.monotonic()
    assert box.take(5.0) == "now"
    assert time.monotonic() - start == pytest.approx(0.05, abs=2.0)
