"""replay.launch.py and `glue replay`: our bags, those of `ros2 bag record`, and what cannot be replayed."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a sourced ROS 2 Jazzy", exc_type=ImportError)

import rosbag2_py
from launched import DOMAIN, LAUNCH_MARKS, START_S, Launched, patient_task
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from glue_bringup.task_config import load_task
from glue_perception.bags import topics
from glue_perception.bags.reader import BagReader
from glue_perception.bags.robot_messages import robot_state_message
from glue_perception.bags.writer import BagWriter
from glue_perception.ros_conversions import ros_message
from glue_perception.types import RobotState

pytestmark = LAUNCH_MARKS

GLUE = [sys.executable, "-m", "glue_bringup.cli.main"]
T0_NS = 1_700_000_000_000_000_000


@pytest.fixture
def launch(launch: Callable[..., Launched]) -> Callable[..., Launched]:
    return partial(launch, "replay.launch.py")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the seam that depends most on what was before: each chunk goes on from the last one's actions."""
    stream = {"stream": {"max_frozen_s": None}}
    return patient_task(tmp_path_factory.mktemp("task"), max_duration_s=3.0, perception=stream)


@pytest.fixture(scope="module")
def episode(task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An episode of the local loop."""
    bags = tmp_path_factory.mktemp("bags")
    local = [*GLUE, "sim", str(task), "--sync", "--record", str(bags)]
    subprocess.run(local, check=True, capture_output=True, timeout=START_S)
    return next(bags.glob("episode_*"))


def replayed(bag: Path, *arguments: str) -> Any:
    """Return the report of `glue replay`."""
    command = [*GLUE, "replay", str(bag), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, timeout=START_S)
    return json.loads(done.stdout)


def test_a_bag_through_the_graph_and_offline_gives_what_the_local_loop_gave(launch, episode: Path) -> None:
    launched = launch(f"bag:={episode}")
    report = replayed(episode)
    assert report["frames"] == report["key_patches_identical"] == report["key_patches_compared"] > 20
    assert report["chunks_identical"] == report["chunks_compared"] > 20
    with BagReader(episode) as reader:
        assert any(chunk.frozen for chunk in reader.chunks())
    assert launched.wait() == 0, launched.text
    assert f"{report['chunks_compared']} of {report['chunks_compared']} chunks are those" in launched.text
    assert "bit for bit" in launched.text


class Tool:
    """A command of ros2 under way that is looked at line by line."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self._new = threading.Condition()
        self.process = subprocess.Popen(
            ["ros2", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=DOMAIN
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._new:
                self.lines.append(line)
                self._new.notify_all()

    def wait_for(self, *words: str) -> None:
        """Wait until each of the words has been said."""
        with self._new:
            said = self._new.wait_for(lambda: all(w in "".join(self.lines) for w in words), START_S)
        assert said, self.lines

    def end(self) -> None:
        """Wait for the end after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def foreign(episode: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The episode as `ros2 bag record` writes it while `ros2 bag play` plays it."""
    path = tmp_path_factory.mktemp("foreign") / "bag"
    with BagReader(episode) as reader:
        counts = reader.summary().message_counts
    recorder = Tool("bag", "record", "--storage", "mcap", "--output", str(path), "--topics", *counts)
    try:
        recorder.wait_for("Recording...")
        quiet = ("--disable-keyboard-controls", "--start-paused", "--wait-for-all-acked", "5000")
        player = Tool("bag", "play", str(episode), *quiet)
        try:
            recorder.wait_for(*(f"Subscribed to topic '{topic}'" for topic in counts))
            resume = ["ros2", "service", "call", "/rosbag2_player/resume", "rosbag2_interfaces/srv/Resume"]
            subprocess.run(resume, check=True, capture_output=True, timeout=START_S, env=DOMAIN)
            assert player.process.wait(START_S) == 0, player.lines
        finally:
            player.end()
    finally:
        recorder.end()
    yield path


def test_what_ros2_bag_record_wrote_goes_through_the_graph_and_offline(
    launch, foreign: Path, episode: Path, task: Path
) -> None:
    launched = launch(f"bag:={foreign}", f"task:={task}")
    report = replayed(foreign, "--task", str(task))
    with BagReader(foreign) as theirs, BagReader(episode) as ours:
        assert "seed" not in theirs.metadata
        frames, chunks = len(list(theirs.frames())), len(list(theirs.chunks()))
        recorded = {chunk.stamp_ns: chunk for chunk in ours.chunks()}
        assert all(np.array_equal(c.position_m, recorded[c.stamp_ns].position_m) for c in theirs.chunks())
    assert report["frames"] == frames > 20
    assert report["chunks_compared"] == chunks > 20
    code = launched.wait()
    assert re.search(
        rf"replayed: key-patches of \d+ of \d+ frames and \d+ of {chunks} chunks", launched.text
    ), launched.text
    assert code == (0 if report["chunks_identical"] == chunks else 1), launched.text
    assert launched.text.count("Traceback") == 0, launched.text


def without_images(path: Path) -> str:
    """Write a bag that holds robot states alone."""
    task = load_task("push_button")
    with BagWriter(path, {"task": task.task}) as writer:
        for k in range(3):
            writer.robot_state(RobotState(T0_NS + k, np.zeros(7), np.zeros(7), np.eye(4), 0.04))
    return rf"holds nothing on {topics.IMAGE}; was the camera recorded\?"


def write_with_ros2(path: Path, messages: Mapping[str, Any]) -> None:
    """Write a bag by ROS 2's own writer: a message for each topic, or None for one that stays empty."""
    writer = rosbag2_py.SequentialWriter()
    storage = rosbag2_py.StorageOptions(uri=str(path), storage_id="mcap")
    writer.open(storage, rosbag2_py.ConverterOptions("cdr", "cdr"))
    for number, (topic, message) in enumerate(messages.items()):
        kind = topics.MESSAGE_TYPES[topic]
        if message is not None:
            kind = f"{type(message).__module__.split('.')[0]}/msg/{type(message).__name__}"
        about = rosbag2_py.TopicMetadata(id=number, name=topic, type=kind, serialization_format="cdr")
        writer.create_topic(about)
        if message is not None:
            writer.write(topic, serialize_message(message), T0_NS)
    writer.close()


def of_other_types(path: Path) -> str:
    """Write a bag whose topics hold text."""
    text = String(data="no picture")
    write_with_ros2(path, dict.fromkeys((topics.IMAGE, topics.CAMERA_INFO, topics.ROBOT_STATE), text))
    return r"holds std_msgs/msg/String, but \w+/msg/\w+ is expected"


def of_a_camera_that_was_off(path: Path) -> str:
    """Write a bag in which the camera's topic is known and empty, as where nothing came while it was recorded."""
    state = RobotState(T0_NS, np.zeros(7), np.zeros(7), np.eye(4), 0.04)
    write_with_ros2(
        path,
        {
            topics.IMAGE: None,
            topics.CAMERA_INFO: CameraInfo(k=[600.0, 0.0, 32.0, 0.0, 600.0, 24.0, 0.0, 0.0, 1.0]),
            topics.ROBOT_STATE: ros_message(robot_state_message(state)),
        },
    )
    return rf"holds no images on {topics.IMAGE}; was the camera recorded\\?"


@pytest.mark.parametrize("write", [without_images, of_other_types, of_a_camera_that_was_off])
def test_a_bag_that_cannot_be_replayed_ends_in_one_clear_line(
    launch, write: Callable[[Path], str], tmp_path: Path
) -> None:
    words = write(tmp_path / "bag")
    launched = launch(f"bag:={tmp_path / 'bag'}", "task:=push_button")
    command = [*GLUE, "replay", str(tmp_path / "bag"), "--task", "push_button"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert (done.returncode, done.stdout) == (5, "")
    assert re.search(words, said), done.stderr
    assert launched.wait() == 1, launched.text
    (line,) = [line for line in launched.lines if "Caught exception in launch" in line]
    assert re.search(words, line), launched.text
    assert "Traceback" not in launched.text + done.stderr
    assert "process started" not in launched.text
