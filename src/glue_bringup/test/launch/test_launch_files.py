"""The users' own launch file on real ROS 2: the twin's graph does the task, and says clearly what is wrong."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from launched import START_S, Launched

ATTEMPTS = 3
"""The twin runs in real time: where the processors are taken away for seconds, an episode fails with reason."""

pytestmark = [
    pytest.mark.ros,
    pytest.mark.render,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("ros2") is None, reason="ros2 is not on PATH: source /opt/ros/jazzy/setup.bash"
    ),
]


@pytest.fixture
def launch(request: pytest.FixtureRequest) -> Callable[..., Launched]:
    def start(file: str, *arguments: str) -> Launched:
        launched = Launched(file, *arguments)
        request.addfinalizer(launched.end)
        return launched

    return start


def test_the_graph_presses_the_button_and_ends_cleanly(launch) -> None:
    for _ in range(ATTEMPTS):
        launched = launch("sim.launch.py", "task:=push_button", "end_after:=true")
        if launched.wait() == 0:
            break
        assert re.search("not done within its time|the robot at .* is silent", launched.text), launched.text
    assert re.search(r"push_button: succeeded after", launched.text), launched.text
    assert launched.process.returncode == 0
    assert launched.text.count("process has finished cleanly") == 5, launched.text


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("task:=push_buton", r"unknown task 'push_buton'.*push_button"),
        ("seed:=-4", r"parameter seed.*range"),
        ("seed:=many", r"parameter seed must be a int"),
        ("checkpoint:=nowhere", r"nowhere"),
    ],
)
def test_a_wrong_argument_ends_the_launch_with_the_reason(launch, argument: str, words: str) -> None:
    launched = launch("sim.launch.py", argument)
    assert launched.wait() == 1
    assert re.search(words, launched.text), launched.text
    assert "Traceback" not in launched.text


def test_a_bag_through_the_graph_gives_what_the_local_loop_gave(launch, tmp_path: Path) -> None:
    command = ["-m", "glue_bringup.cli.main", "sim", "push_button", "--sync", "--record", str(tmp_path)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=START_S)
    launched = launch("replay.launch.py", f"bag:={next(tmp_path.glob('episode_*'))}")
    assert launched.wait() == 0, launched.text
    assert "bit for bit" in launched.text


def test_a_bag_that_is_none_ends_the_launch_with_the_reason(launch, tmp_path: Path) -> None:
    launched = launch("replay.launch.py", f"bag:={tmp_path}")
    assert launched.wait() == 1
    assert re.search(r"\[replay_node\]: .*(bag|metadata)", launched.text), launched.text
