"""The users' own launch file on real ROS 2: the twin's graph does the task, and says clearly what is wrong."""

import re
import subprocess

import pytest
from launched import LAUNCH, LAUNCH_MARKS, START_S

ATTEMPTS = 3
"""The twin runs in real time: where the processors are taken away for seconds, an episode fails with reason."""

TOO_SLOW = r"not done within its time|the robot at .* is silent|UDP receive: Timeout|_node is gone"
"""What is said when the processors are taken away for seconds."""

pytestmark = LAUNCH_MARKS


def test_the_graph_presses_the_button_and_ends_cleanly(launch) -> None:
    for _ in range(ATTEMPTS):
        launched = launch("sim.launch.py", "task:=push_button", "end_after:=true", "lease_s:=1.0")
        if launched.wait() == 0:
            break
        assert re.search(TOO_SLOW, launched.text), launched.text
    assert re.search(r"push_button: succeeded after", launched.text), launched.text
    assert launched.process.returncode == 0
    assert launched.text.count("process has finished cleanly") == 5, launched.text


@pytest.mark.parametrize(
    ("file", "arguments", "words"),
    [
        ("sim", ["task:=push_buton"], r"unknown task 'push_buton'.*push_button"),
        ("sim", ["seed:=-4"], r"parameter seed.*range"),
        ("sim", ["seed:=many"], r"parameter seed must be a int"),
        ("sim", ["checkpoint:=nowhere"], r"there is no checkpoint 'nowhere'"),
        ("sim", ["log_level:=loud"], r"loud.*not valid|loud.*debug"),
        (
            "real",
            ["robot_ip:=127.9.9.9", "camera:=none"],
            r"arm_node failed .* at 127.9.9.9.*check the robot's address",
        ),
        ("real", ["camera:=/no/such/clip.mp4", "arm:=false"], r"'/no/such/clip.mp4' does not exist"),
        ("real", ["camera:=realsense2_camera"], r"sudo apt install ros-jazzy-realsense2-camera"),
        ("replay", [], r"no bag is given"),
        ("replay", ["bag:=/no/such/bag"], r"there is no bag at /no/such/bag"),
    ],
)
def test_what_cannot_work_ends_the_launch_with_one_clear_line(launch, file, arguments, words) -> None:
    launched = launch(f"{file}.launch.py", *arguments)
    assert launched.wait() == 1, launched.text
    (line,) = [line for line in launched.lines if "Caught exception in launch" in line]
    assert re.search(words, line), launched.text
    # Another node that is told to end before its first line of ours has run says so as Python does.
    assert launched.text.count("Traceback") <= launched.text.count("KeyboardInterrupt"), launched.text


@pytest.mark.parametrize("file", ["sim", "real", "record", "replay"])
def test_every_launch_argument_is_explained(file: str) -> None:
    command = ["ros2", "launch", str(LAUNCH / f"{file}.launch.py"), "--show-args"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=START_S).stdout
    names = re.findall(r"^    '(\w+)':$", text, re.MULTILINE)
    assert {"task", "log_level", "python"} <= set(names)
    assert len(names) == len(set(names))
    assert "no description given" not in text.lower()
