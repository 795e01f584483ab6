"""record.launch.py on real ROS 2: the scripted expert, a person at the keyboard, and a recorder that is killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs a sourced ROS 2 Jazzy", exc_type=ImportError)

from glue_msgs.srv import StartEpisode, StopEpisode
from graph_client import GraphClient
from launched import LAUNCH_MARKS, Launched, patient_task
from std_msgs.msg import String

from glue_bringup.nodes import names, qos
from glue_bringup.task_config import TASKS_DIRECTORY, load_task
from glue_perception.bags.reader import BagReader
from glue_policy.data.from_bags import training_set_of

ATTEMPTS = 2
SLOW = {
    "max_duration_s": 60.0,
    "camera": {"width_px": 320, "height_px": 240, "rate_hz": 3.0},
    "policy": {"checkpoint": "push_button_tiny", "rate_hz": 3.0},
    "robot": {"silence_timeout_s": 10.0, "target_timeout_s": 10.0},
    "safety": {
        "watchdogs": {
            "max_state_age_s": 10.0,
            "max_chunk_age_s": 5.0,
            "max_frame_age_s": 5.0,
            "max_key_patches_age_s": 5.0,
        }
    },
}
"""The twin runs below real time on two cores, and the audit counts frames: at this rate it has time to be late."""

TOO_BUSY = (
    "frames are missing|steps are not|state are up to|gave no frame within|is silent|no longer answers|"
    "no observation came"
)
"""What is rightly refused, or ends an episode, where processors are taken away for tenths of a second and more."""

pytestmark = LAUNCH_MARKS


@pytest.fixture
def launch(launch: Callable[..., Launched]) -> Callable[..., Launched]:
    def start(*arguments: str, file: str = "record.launch.py") -> Launched:
        return launch(file, "lease_s:=5.0", *arguments)

    return start


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """push_button at rates that a loaded machine can keep up with."""
    shipped = yaml.safe_load((TASKS_DIRECTORY / "push_button.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "slow.yaml"
    path.write_text(yaml.safe_dump({**shipped, **SLOW}), encoding="utf-8")
    return path


def check_bag(bag: Path) -> int:
    """Look at what every finished record holds, fit to be trained on or not; return the number of its actions."""
    with BagReader(bag) as reader:
        said = reader.metadata
        frames = [frame.stamp_ns for frame in reader.frames()]
        patches = [patches.stamp_ns for patches in reader.key_patches()]
        actions = [action.stamp_ns for action in reader.demonstrated_actions()]
    assert (said["verdict"], said["demonstrator"], said["operator"]) == ("success", "expert", "Ada")
    assert patches == frames
    assert set(actions) <= set(frames)
    info = subprocess.run(["ros2", "bag", "info", str(bag)], capture_output=True, text=True, timeout=120)
    assert info.returncode == 0, info.stderr
    assert re.search(rf"/glue/demonstrated_action .*Count: {len(actions)}\b", info.stdout), info.stdout
    return len(actions)


def test_the_expert_records_a_demonstration_to_train_on(launch, task: Path, tmp_path: Path) -> None:
    for attempt in range(ATTEMPTS):
        out = tmp_path / str(attempt)
        expert = ("teleop:=expert", "use_fake_hardware:=true", "end_after:=true", f"seed:={attempt}")
        launched = launch(f"task:={task}", f"out:={out}", "operator:=Ada", *expert)
        code = launched.wait()
        assert "Traceback" not in launched.text
        if finished := re.search(r"\[recorder_node\]: (/\S+): (success|refused)", launched.text):
            actions = check_bag(Path(finished[1]))
        if code == 0:
            break
        assert code == 1
        assert re.search(TOO_BUSY, launched.text), launched.text
    else:
        pytest.skip("the machine is too busy for real time; see the audits of the episodes")
    assert launched.text.count("process has finished cleanly") == 5, launched.text
    assert len(training_set_of(out, 32, 1.0 / load_task(str(task)).policy.rate_hz)) == actions


def test_what_a_policy_did_is_recorded_and_replays_to_the_last_bit(
    launch, task: Path, tmp_path: Path
) -> None:
    launched = launch(
        f"task:={task}", f"out:={tmp_path}", "record:=true", "end_after:=true", file="sim.launch.py"
    )
    launched.wait()
    finished = re.search(r"\[recorder_node\]: (/\S+): (success|failure)", launched.text)
    if finished is None:
        assert re.search(TOO_BUSY, launched.text), launched.text
        pytest.skip("the machine is too busy for real time: no episode came about")
    succeeded = "succeeded after" in launched.text
    with BagReader(Path(finished[1])) as bag:
        said = bag.metadata
    assert said["outcome"] == ("success" if succeeded else "failure")
    assert said["policy"] == "push_button_tiny"
    command = [sys.executable, "-m", "glue_bringup.cli.main", "replay", finished[1]]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=240).stdout)
    assert report["key_patches_compared"] == report["frames"] > 0
    if said["frames_missed"] == "0":
        assert report["key_patches_identical"] == report["frames"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("teleop:=spacemous",), r"parameter teleop must be one of.*spacemouse"),
        (("teleop:=expert", "noise_m:=3.0"), r"parameter noise_m.*range"),
        (("teleop:=expert", "calibration:=gone.yaml"), r"gone\.yaml"),
        (("teleop:=keyboard", "settings:=gone.yaml"), r"gone\.yaml"),
    ],
)
def test_a_wrong_argument_ends_the_launch_with_the_reason(
    launch, arguments: tuple[str, ...], words: str
) -> None:
    launched = launch("camera:=none", "arm:=false", *arguments)
    assert launched.wait() == 1
    assert re.search(words, launched.text), launched.text
    assert "Traceback" not in launched.text


class Operator(GraphClient):
    """A person in the graph: presses keys, and knows what the recorder does."""

    def __init__(self, launched: Launched) -> None:
        super().__init__(launched)
        self.launched = launched
        self.recorder: list[str] = []
        self._keys = self.node.create_publisher(String, names.KEYS, qos.ANSWER)
        hear = self.node.create_subscription
        hear(String, names.RECORDER_STATE, lambda message: self.recorder.append(message.data), qos.KEPT)

    @property
    def height_m(self) -> float:
        """Of the tool, by the newest state."""
        return float(self.states[-1].t_base_ee[11])

    def press(self, key: str) -> None:
        self._keys.publish(String(data=key))

    def hold(self, key: str, until: Callable[[], Any], what: str) -> None:
        """Press a key as a terminal repeats it, until something is so."""
        self.until(what, lambda: (self.press(key), until())[1])


@pytest.fixture
def by_hand(launch, tmp_path: Path) -> Iterator[Operator]:
    """A person in a graph of the twin that waits for her."""
    device = ("teleop:=keyboard", "use_fake_hardware:=true")
    person = Operator(launch(f"task:={patient_task(tmp_path)}", f"out:={tmp_path}", *device))
    yield person
    person.close()


def test_a_person_moves_the_arm_while_an_episode_is_recorded(by_hand: Operator, tmp_path: Path) -> None:
    operator, launched = by_hand, by_hand.launched
    begun = operator.call(StartEpisode, names.START_EPISODE, StartEpisode.Request(name="mine", seed=7))
    assert (begun.success, begun.bag) == (True, str(tmp_path / "mine")), begun.message
    again = operator.call(StartEpisode, names.START_EPISODE)
    assert not again.success
    assert "verdict" in again.message
    operator.until("chunks", lambda: operator.chunks)
    before_m = operator.height_m
    operator.hold("r", lambda: operator.height_m > before_m + 0.004, "the arm to rise")
    later = operator.call(
        StopEpisode, names.STOP_EPISODE, StopEpisode.Request(outcome=StopEpisode.Request.LATER)
    )
    assert later.success
    operator.until("the arm at rest", lambda: operator.mode[0] == "hold")
    operator.hold("\x7f", lambda: operator.recorder[-1] == "idle", "the verdict by a key")
    assert operator.recorder[-3:] == ["recording", "stopped", "idle"]
    none = operator.call(StopEpisode, names.STOP_EPISODE)
    assert not none.success
    launched.end()
    assert launched.process.returncode == 0, launched.text
    with BagReader(tmp_path / "mine") as bag:
        said = bag.metadata
        actions = list(bag.demonstrated_actions())
    assert (said["outcome"], said["seed"], said["demonstrator"]) == ("discarded", "7", "keyboard")
    assert actions[-1].position_m[0, 2] > actions[0].position_m[0, 2] + 0.004


def test_without_its_recorder_the_demonstrator_lets_go_and_what_was_recorded_is_kept(
    by_hand: Operator, tmp_path: Path
) -> None:
    operator, launched = by_hand, by_hand.launched
    assert operator.call(StartEpisode, names.START_EPISODE, StartEpisode.Request(name="cut")).success
    operator.until("ten chunks", lambda: len(operator.chunks) > 10)
    os.kill(launched.pid("recorder_node"), signal.SIGKILL)
    launched.wait_for("recorder_node was killed by signal 9; starting it again")
    launched.wait_for(r"\[teleop_node\]: (.*recorder_node is gone|the record was ended elsewhere)")
    operator.until("the recorder's return", lambda: operator.recorder[-1] == "idle")
    operator.until("the arm at rest", lambda: operator.mode[0] == "hold")
    begun = operator.call(StartEpisode, names.START_EPISODE, StartEpisode.Request(name="next"))
    assert begun.success, begun.message
    operator.hold("y", lambda: operator.recorder[-1] == "idle", "the next episode's verdict")
    launched.end()
    assert launched.process.returncode == 0, launched.text
    with BagReader(tmp_path / "cut") as bag:
        assert len(list(bag.demonstrated_actions())) > 5
