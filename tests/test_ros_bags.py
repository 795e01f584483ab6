"""Real ROS 2 tools accept our bags and messages, and what they write is read here to the last bit."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from glue_bringup.loop.bag_task import check_replayable
from glue_perception.bags import topics
from glue_perception.bags.message_types import type_hash
from glue_perception.bags.reader import BagReader
from glue_perception.bags.writer import BagWriter
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        shutil.which("ros2") is None, reason="ros2 is not on PATH: source /opt/ros/jazzy/setup.bash"
    ),
]

T0_NS = 1_700_000_000_000_000_000
FRAMES = 5


def ros2(*arguments: str) -> str:
    done = subprocess.run(["ros2", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(package: str) -> Path:
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(":"):
        folder = Path(prefix) / "share" / package
        if folder.is_dir():
            return folder
    pytest.skip(f"{package} is not installed: build the workspace with colcon and source install/setup.bash")


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ros") / "episode"
    rng = np.random.default_rng(0)
    K = np.array([[600.0, 0, 32], [0, 600, 24], [0, 0, 1]])
    one = np.array([0])
    with BagWriter(path, {"task": "push_button", "config": "a: 1\nb: 'x: y'\n", "umlaut": "Tür"}) as writer:
        for k in range(FRAMES):
            stamp = T0_NS + k * 33_333_333
            writer.frame(CameraFrame(stamp, "c", rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), K))
            writer.robot_state(RobotState(stamp, rng.normal(size=7), rng.normal(size=7), np.eye(4), 0.04))
            writer.key_patches(
                KeyPatches(stamp, np.array([[3, 4]]), rng.normal(size=(1, 2)), np.array([True]), one, one)
            )
            writer.chunk(
                ActionChunk(stamp, 0.1, rng.normal(size=(16, 3)), rng.normal(size=(16, 6)), rng.random(16))
            )
            writer.target(stamp, np.eye(4))
        writer.safety_event(stamp, "hold", "stale frame")
    return path


def test_bag_info_lists_all_topics(bag: Path) -> None:
    text = ros2("bag", "info", str(bag))
    with BagReader(bag) as reader:
        counts = reader.summary().message_counts
    assert set(counts) == set(topics.MESSAGE_TYPES) - {topics.ALIGNED_DEPTH, topics.DEMONSTRATED_ACTION}
    for topic, count in counts.items():
        assert f"Topic: {topic} | Type: {topics.MESSAGE_TYPES[topic]} | Count: {count} |" in text


def test_bag_info_of_the_file_alone(bag: Path, tmp_path: Path) -> None:
    file = shutil.copy(next(bag.glob("*.mcap")), tmp_path)
    assert f"Messages:          {8 * FRAMES + FRAMES + 1}" in ros2("bag", "info", str(file))


def test_what_rosbag2_writes_is_read_to_the_last_bit(bag: Path, tmp_path: Path) -> None:
    """`ros2 bag convert` reads our bag and writes it anew with rosbag2's own writer."""
    output = {"uri": str(tmp_path / "converted"), "storage_id": "mcap", "all_topics": True}
    options = tmp_path / "options.yaml"
    options.write_text(yaml.safe_dump({"output_bags": [output]}))
    ros2("bag", "convert", "-i", str(bag), "-o", str(options))
    with BagReader(bag) as ours, BagReader(tmp_path / "converted") as theirs:
        assert ours.summary() == theirs.summary()
        for a, b in zip(ours.frames(), theirs.frames(), strict=True):
            assert a.stamp_ns == b.stamp_ns
            assert np.array_equal(a.rgb, b.rgb)
            assert np.array_equal(a.intrinsics, b.intrinsics)
        for state, other in zip(ours.robot_states(), theirs.robot_states(), strict=True):
            assert np.array_equal(state.joint_position_rad, other.joint_position_rad)
        for chunk, again in zip(ours.chunks(), theirs.chunks(), strict=True):
            assert np.array_equal(chunk.rotation_6d, again.rotation_6d)
        assert list(ours.safety_events()) == list(theirs.safety_events())


def test_bag_play_plays_it(bag: Path) -> None:
    installed("glue_msgs")
    ros2("bag", "play", str(bag), "--rate", "10", "--disable-keyboard-controls")


def test_what_ros2_bag_record_writes_can_be_replayed(bag: Path, tmp_path: Path) -> None:
    """Recorded while it is played, so that it is rosbag2's own in every byte."""
    installed("glue_msgs")
    recorded = tmp_path / "recorded"
    record = ["ros2", "bag", "record", "--all", "--storage", "mcap", "--output", str(recorded)]
    process = subprocess.Popen(record, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        while "Recording..." not in (line := process.stdout.readline()):
            assert line, "ros2 bag record has ended"
        # Who joins late misses what is sent meanwhile: it is played again until images have arrived.
        for _ in range(20):
            ros2("bag", "play", str(bag), "--delay", "1", "--disable-keyboard-controls")
            if any(file.stat().st_size > 2 * 48 * 64 * 3 for file in recorded.glob("*.mcap")):
                break
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    check_replayable(recorded, "push_button")
    with BagReader(recorded) as theirs, BagReader(bag) as ours:
        known = {frame.stamp_ns: frame.rgb for frame in ours.frames()}
        frames = list(theirs.frames())
        assert frames and all(np.array_equal(frame.rgb, known[frame.stamp_ns]) for frame in frames)


def test_interface_show(bag: Path) -> None:
    installed("glue_msgs")
    assert "ActionTarget[] targets" in ros2("interface", "show", "glue_msgs/msg/ActionChunk")


@pytest.mark.parametrize("message_type", sorted(set(topics.MESSAGE_TYPES.values())))
def test_type_hashes_are_those_of_the_built_messages(message_type: str) -> None:
    package, _, name = message_type.split("/")
    description = json.loads((installed(package) / "msg" / f"{name}.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    assert hashes[message_type] == type_hash(message_type)
