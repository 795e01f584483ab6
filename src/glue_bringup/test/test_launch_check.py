"""What a launch refuses before it starts anything, in one line; needs no ROS."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from glue_bringup.loop.launch_check import check
from glue_bringup.task_config import load_task
from glue_perception.bags import topics
from glue_perception.bags.writer import BagWriter
from glue_perception.config import to_mapping
from glue_perception.errors import BagError, ConfigError, GlueError
from glue_perception.types import CameraFrame, RobotState

STAMP_NS = 1_700_000_000_000_000_000
METADATA = {"task_config": yaml.safe_dump(to_mapping(load_task("push_button"))), "host": "sync"}


def written(path: Path, frames: bool = True, states: bool = True, **metadata: str) -> str:
    K = np.array([[300.0, 0, 16], [0, 300, 12], [0, 0, 1]])
    with BagWriter(path, {**METADATA, **metadata}) as bag:
        if frames:
            bag.frame(CameraFrame(STAMP_NS, "camera", np.zeros((24, 32, 3), np.uint8), K))
        if states:
            bag.robot_state(RobotState(STAMP_NS, np.zeros(7), np.zeros(7), np.eye(4), 0.02))
    return str(path)


def test_what_is_sound_is_let_through(tmp_path: Path) -> None:
    check({"task": "push_button", "profile": "", "device": ""})
    check({"task": "push_button", "profile": "full", "device": "cpu"})
    check({"task": "", "bag": written(tmp_path / "bag")})
    check({"task": "push_button", "bag": written(tmp_path / "foreign", task_config="")})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"task": "push_buton"}, "push_button"),
        ({"task": "/no/such/task.yaml"}, "/no/such/task.yaml"),
        ({"task": "push_button", "profile": "fulll"}, "full"),
        ({"task": "push_button", "device": "cudda"}, "cuda"),
    ],
)
def test_a_wrong_word_is_named(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check(arguments)


def test_bags_that_cannot_be_replayed(tmp_path: Path) -> None:
    for arguments, words in (
        ({"bag": ""}, "no bag is given"),
        ({"bag": str(tmp_path / "nowhere")}, "no bag at"),
        ({"bag": written(tmp_path / "blind", frames=False)}, "nothing on /camera/camera/color/image_raw"),
        ({"bag": written(tmp_path / "limbless", states=False)}, "was the arm recorded"),
    ):
        with pytest.raises(BagError, match=words):
            check(arguments)
    with pytest.raises(ConfigError, match="push_button"):
        check({"bag": written(tmp_path / "sound"), "task": "push_buton"})


def test_a_bag_of_other_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(topics.MESSAGE_TYPES, topics.ROBOT_STATE, "glue_msgs/msg/TargetPose")
    with BagWriter(tmp_path / "bag", METADATA) as bag:
        K = np.array([[300.0, 0, 16], [0, 300, 12], [0, 0, 1]])
        bag.frame(CameraFrame(STAMP_NS, "camera", np.zeros((24, 32, 3), np.uint8), K))
        bag.target(STAMP_NS, np.eye(4))
        bag._add(topics.ROBOT_STATE, STAMP_NS, bag_message())
    monkeypatch.undo()
    with pytest.raises(BagError, match="holds glue_msgs/msg/TargetPose, but glue_msgs/msg/RobotState"):
        check({"bag": str(tmp_path / "bag")})


def bag_message() -> object:
    from glue_perception.bags.robot_messages import target_message

    return target_message(STAMP_NS, np.eye(4))


def test_a_bag_that_does_not_say_its_task(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    K = np.array([[300.0, 0, 16], [0, 300, 12], [0, 0, 1]])
    with BagWriter(path, {}) as bag:
        bag.frame(CameraFrame(STAMP_NS, "camera", np.zeros((24, 32, 3), np.uint8), K))
        bag.robot_state(RobotState(STAMP_NS, np.zeros(7), np.zeros(7), np.eye(4), 0.02))
    with pytest.raises(BagError, match="task:=push_button"):
        check({"bag": str(path)})
    check({"bag": str(path), "task": "push_button"})


def test_the_launch_hears_one_line_and_the_exit_code() -> None:
    command = [sys.executable, "-m", "glue_bringup.loop.launch_check", json.dumps({"task": "push_buton"})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == ConfigError.exit_code != GlueError.exit_code
    (line,) = done.stderr.splitlines()
    assert "push_button" in line and not done.stdout
    assert (
        "torch"
        not in subprocess.run(
            [sys.executable, "-c", "import sys, glue_bringup.loop.launch_check; print(*sys.modules)"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout.split()
    )
