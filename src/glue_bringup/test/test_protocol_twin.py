import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.sim.shared_frames import MAX_MEASURED, SLOTS, SharedFrames
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.sim.tasks import get_task
from glue_bringup.sim.twin_process import TwinProcess
from glue_perception.errors import ConfigError, HardwareError, InvalidValueError

SMALL = CameraConfig(width_px=160, height_px=120, rate_hz=20.0)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def twin():
    with ProtocolTwin("push_button", seed=5, camera=SMALL) as twin:
        yield twin


@pytest.mark.render
def test_frames_come_at_the_rate_with_fresh_stamps(twin) -> None:
    twin.camera.read(5.0)
    frames = [twin.camera.read(1.0) for _ in range(20)]
    ages_s = (time.time_ns() - frames[-1].stamp_ns) / 1e9
    assert 0.0 < ages_s < 2.0
    stamps_s = np.array([f.stamp_ns for f in frames]) / 1e9
    assert np.all(np.diff(stamps_s) > 0)
    assert np.median(np.diff(stamps_s)) == pytest.approx(1 / SMALL.rate_hz, rel=0.2)
    assert frames[0].rgb.shape == (120, 160, 3)


@pytest.mark.render
def test_the_camera_skips_what_was_missed(twin) -> None:
    twin.camera.read(1.0)
    time.sleep(0.6)
    frame = twin.camera.read(1.0)
    assert (time.time_ns() - frame.stamp_ns) / 1e9 < 0.3


@pytest.mark.render
def test_it_shows_what_the_synchronous_twin_shows(twin) -> None:
    with SyncTwin("push_button", 5, SMALL) as sync:
        difference = np.abs(sync.render().rgb.astype(int) - twin.camera.read(1.0).rgb)
    assert np.array_equal(twin.truth.cap_top_m, sync.truth.cap_top_m)
    assert (difference > 20).mean() < 0.005


@pytest.mark.render
def test_it_tells_where_loose_objects_are() -> None:
    with ProtocolTwin("stack_block", seed=3, camera=SMALL) as twin:
        for _ in range(3):
            twin.camera.read(5.0)
        layout, truth = get_task("stack_block").sample_layout(3), twin.truth
    np.testing.assert_allclose(truth.T_base_white, layout.T_base_white, atol=1e-3)
    np.testing.assert_allclose(truth.T_base_blue, layout.T_base_blue, atol=1e-3)


@pytest.mark.render
def test_it_keeps_to_real_time(twin) -> None:
    status = twin.status()
    assert status.sim_time_ns > 0
    assert 0.8 < status.real_time_factor < 1.02
    assert not status.success
    assert twin.robot_ip.startswith("127.")


@pytest.mark.render
def test_twins_run_side_by_side_and_stop_cleanly(twin) -> None:
    begin = time.monotonic()
    other = ProtocolTwin("push_button", seed=1, camera=SMALL)
    assert time.monotonic() - begin < 8.0
    pids = [process.pid for process in other.processes]
    assert other.robot_ip != twin.robot_ip
    begin = time.monotonic()
    other.close()
    other.close()
    assert time.monotonic() - begin < 2.0
    assert not any(running(pid) for pid in pids)
    with pytest.raises(HardwareError, match="closed"):
        other.status()
    with pytest.raises(HardwareError, match="closed"):
        other.camera.read(0.2)


@pytest.mark.render
def test_a_process_that_dies_is_an_error_not_a_hang() -> None:
    with ProtocolTwin("push_button", seed=1, camera=SMALL) as twin:
        os.kill(twin.processes[1].pid, signal.SIGKILL)
        begin = time.monotonic()
        with pytest.raises(HardwareError, match="protocol_renderer has ended"):
            while True:
                twin.camera.read(2.0)
        assert time.monotonic() - begin < 1.0


@pytest.mark.render
def test_nothing_is_left_when_the_owner_is_killed() -> None:
    code = (
        "import time\nfrom glue_bringup.sim.protocol_twin import ProtocolTwin\n"
        "twin = ProtocolTwin('push_button', 0)\n"
        "print(*[p.pid for p in twin.processes], flush=True)\ntime.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as owner:
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        owner.kill()
    deadline = time.monotonic() + 3.0
    while any(running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(running(pid) for pid in pids)


@pytest.mark.render
def test_twins_one_after_the_other_leave_no_files_open() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    counts = []
    for seed in range(2):
        with ProtocolTwin("push_button", seed, SMALL) as twin:
            twin.camera.read(2.0)
        del twin
        counts.append(open_files())
    assert counts[0] == counts[1]


def test_an_unknown_task_starts_nothing() -> None:
    with pytest.raises(ConfigError, match="push_button"):
        ProtocolTwin("push_buttom", seed=0)


def test_a_child_that_cannot_start_says_why() -> None:
    process = TwinProcess("glue_bringup.sim.no_such_module", {}, [])
    with pytest.raises(HardwareError, match="No module named"):
        process.wait_ready()
    process.stop()


def test_a_child_that_fails_passes_its_reason_on() -> None:
    frames = SharedFrames.create(16, 16)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    values = {
        "task": "no_such_task",
        "seed": 0,
        "camera": {"width_px": 16, "height_px": 16},
        "condition": "in_domain",
        "frames_fd": frames.fd,
        "states_fd": theirs.fileno(),
    }
    process = TwinProcess("glue_bringup.sim.protocol_server", values, [frames.fd, theirs.fileno()])
    try:
        with pytest.raises(HardwareError, match="no task 'no_such_task'"):
            process.wait_ready()
    finally:
        process.stop()
        for file in (frames, ours, theirs):
            file.close()


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 3 * SLOTS), seed=st.integers(0, 1000))
def test_shared_frames_give_the_newest(count, seed) -> None:
    frames = SharedFrames.create(12, 9)
    images = np.random.default_rng(seed).integers(0, 255, (count, 9, 12, 3), dtype=np.uint8)
    assert frames.latest == 0
    for k, image in enumerate(images):
        frames.write(image, stamp_ns=k)
    number, stamp_ns, rgb = frames.read()
    frames.close()
    assert (number, stamp_ns) == (count, count - 1)
    assert np.array_equal(rgb, images[-1])


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(0, MAX_MEASURED), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_shared_measurements_give_the_newest_whole(sizes, seed) -> None:
    shared = SharedFrames.create(8, 8)
    assert len(shared.read_measured()) == 0
    rng = np.random.default_rng(seed)
    for size in sizes:
        measured = rng.normal(size=size)
        shared.write_measured(measured)
        assert np.array_equal(shared.read_measured(), measured)
    assert shared.latest == 0
    with pytest.raises(InvalidValueError, match="4096 numbers, not 4097"):
        shared.write_measured(np.zeros(MAX_MEASURED + 1))
    shared.close()
