"""What is written to a bag comes back to the last bit, in order, also when its writer was killed."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from episodes import FRAME_NS, T0_NS, Episode, K, read_all, same
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_perception.bags import topics
from glue_perception.bags.messages import key_patches_message, key_patches_of
from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError
from glue_perception.types import ActionChunk, CameraFrame

METADATA = {
    "task": "push_button",
    "config": "a: 1\nb: [2, 'x']\n",
    "umlaut": "Tür: ü",
    "empty": "",
    "number": "007",
}


def test_all_values_come_back_to_the_last_bit(tmp_path):
    episode = Episode(seed=3)
    with BagReader(episode.write(tmp_path / "bag", METADATA)) as bag:
        assert bag.metadata == METADATA
        values = read_all(bag)
    for name, written in (
        ("frames", episode.frames),
        ("robot_states", episode.states),
        ("key_patches", episode.patches),
        ("chunks", episode.chunks),
        ("demonstrated_actions", episode.demonstrated),
    ):
        assert len(values[name]) == len(written)
        assert all(same(a, b) for a, b in zip(values[name], written, strict=True)), name
    for (stamp, pose), (stamp_read, pose_read) in zip(episode.targets, values["targets"], strict=True):
        assert stamp == stamp_read
        assert pose.tobytes() == pose_read.tobytes()
    [event] = values["safety_events"]
    assert (event.stamp_ns, event.mode, event.reason) == (episode.stamps[-1], "hold", "stale frame: 0.31 s")


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31 * 10**9 - 1),
    st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=3),
    st.floats(1e-300, 1.0, exclude_min=True),
)
def test_any_chunk_comes_back(tmp_path_factory, stamp_ns, position, dt_s):
    chunk = ActionChunk(
        stamp_ns, dt_s, np.array([position]), np.array([[1.0, 0, -0.0, 0, 1e-308, 1]]), np.array([-0.0])
    )
    path = tmp_path_factory.mktemp("bag") / "episode"
    with BagWriter(path, {}) as bag:
        bag.chunk(chunk)
    with BagReader(path) as bag:
        assert [same(chunk, read) for read in bag.chunks()] == [True]


def test_tracked_shares_are_in_the_message_and_are_checked(tmp_path):
    patches = Episode(seed=3).patches[0]
    message = key_patches_message(patches)
    assert np.array_equal(message.tracked_share, patches.tracked_share_by_query)
    message.tracked_share = np.zeros(0)
    assert same(key_patches_of(message), patches)
    for wrong in ([0.123] * len(patches.tracked_share_by_query), [0.5] * 40):
        message.tracked_share = np.array(wrong)
        with pytest.raises(BagError, match="tracked shares"):
            key_patches_of(message)


def test_depth_is_joined_by_stamp(tmp_path):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    depths = [rng.random((5, 4), dtype=np.float32), None, rng.random((5, 4), dtype=np.float32)]
    frames = [CameraFrame(T0_NS + k * FRAME_NS, "c", rgb, K, d) for k, d in enumerate(depths)]
    with BagWriter(tmp_path / "bag", {}) as bag:
        for frame in frames:
            bag.frame(frame)
    with BagReader(tmp_path / "bag") as bag:
        assert all(same(a, b) for a, b in zip(frames, bag.frames(), strict=True))


def test_intrinsics_may_change(tmp_path):
    rgb = np.zeros((5, 4, 3), np.uint8)
    frames = [CameraFrame(T0_NS + k, "c", rgb, K * [[f], [f], [1]]) for k, f in enumerate((1.0, 2.0, 3.0))]
    with BagWriter(tmp_path / "bag", {}) as bag:
        for frame in frames:
            bag.frame(frame)
    with BagReader(tmp_path / "bag") as bag:
        assert [f.intrinsics[0, 0] for f in bag.frames()] == [f.intrinsics[0, 0] for f in frames]


def test_many_chunks_keep_time_order(tmp_path):
    """More images than one MCAP chunk holds, and small messages that span seconds."""
    episode = Episode(frames=90, size=(120, 160))
    with BagReader(episode.write(tmp_path / "bag")) as bag:
        values = read_all(bag)
        summary = bag.summary()
    assert [f.stamp_ns for f in values["frames"]] == episode.stamps
    assert [s.stamp_ns for s in values["robot_states"]] == episode.stamps
    assert summary.message_counts[topics.IMAGE] == 90
    assert summary.message_counts[topics.ACTION_CHUNK] == 45
    assert summary.duration_s == pytest.approx(89 * FRAME_NS * 1e-9)


def test_a_late_chunk_comes_after_what_was_recorded_meanwhile(tmp_path):
    episode = Episode()
    with BagWriter(tmp_path / "bag", {}) as bag:
        bag.target(*episode.targets[3])
        bag.chunk(episode.chunks[0])  # of the first frame
    with BagReader(tmp_path / "bag") as bag:
        assert bag.summary().duration_s == 0
        assert next(bag.chunks()).stamp_ns == episode.stamps[0]


def test_iterators_are_independent(tmp_path):
    episode = Episode()
    with BagReader(episode.write(tmp_path / "bag")) as bag:
        pairs = zip(bag.frames(), bag.robot_states(), bag.frames(), strict=True)
        assert all(same(a, c) and a.stamp_ns == b.stamp_ns for a, b, c in pairs)


def test_metadata_yaml_is_version_9_and_counts(tmp_path):
    path = Episode().write(tmp_path / "bag")
    information = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["version"] == 9
    assert information["storage_identifier"] == "mcap"
    assert information["relative_file_paths"] == ["bag_0.mcap"]
    counts = [topic["message_count"] for topic in information["topics_with_message_count"]]
    assert information["message_count"] == sum(counts)
    assert all(
        topic["topic_metadata"]["type_description_hash"].startswith("RIHS01_")
        for topic in information["topics_with_message_count"]
    )


def test_an_existing_path_is_not_overwritten(tmp_path):
    path = Episode().write(tmp_path / "bag")
    before = {f.name: f.read_bytes() for f in path.iterdir()}
    with pytest.raises(BagError, match="exists already"):
        BagWriter(path, {})
    assert {f.name: f.read_bytes() for f in path.iterdir()} == before


def test_a_closed_writer_says_so(tmp_path):
    bag = BagWriter(tmp_path / "bag", {})
    bag.close()
    bag.close()
    with pytest.raises(BagError, match="closed"):
        bag.chunk(Episode().chunks[0])


def test_a_stamp_beyond_ros_is_refused(tmp_path):
    with BagWriter(tmp_path / "bag", {}) as bag, pytest.raises(BagError, match="2038"):
        bag.target(2**31 * 10**9, np.eye(4))


def test_a_full_disk_is_a_bag_error_and_keeps_the_prefix(tmp_path):
    """The limit on file size stands for the disk: writing beyond it fails in the same call."""
    episode = Episode(frames=20, size=(240, 320))
    bag = BagWriter(tmp_path / "bag", {"task": "full"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(BagError, match="disk full") as error:
            for _ in episode.steps(bag):
                pass
        bag.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "bag") in str(error.value)
    with pytest.warns(UnfinishedBagWarning), BagReader(tmp_path / "bag") as read:
        frames = list(read.frames())
    assert frames
    assert all(same(a, b) for a, b in zip(frames, episode.frames, strict=False))


WRITE_UNTIL_KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from episodes import Episode
from glue_perception.bags.writer import BagWriter
episode = Episode(frames=32, size=(480, 640))
bag = BagWriter(Path(sys.argv[1]), {"task": "killed"})
for k, _ in enumerate(episode.steps(bag)):
    if k == 30:
        print("ready", flush=True)
        time.sleep(60)
"""


def test_a_killed_writer_leaves_a_readable_prefix(tmp_path):
    here = Path(__file__).parent
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(WRITE_UNTIL_KILLED),
            str(tmp_path / "bag"),
            str(here),
            str(here.parent),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with pytest.warns(UnfinishedBagWarning, match="not finished"):
        bag = BagReader(tmp_path / "bag")
    with bag:
        assert bag.metadata == {"task": "killed"}
        frames = list(bag.frames())
        states = list(bag.robot_states())
    expected = Episode(frames=31, size=(480, 640))
    assert len(frames) >= 30
    assert len(states) >= 24
    assert same(frames[0], expected.frames[0])
    assert same(frames[-1], expected.frames[len(frames) - 1])
