"""record.launch.py on real ROS 2: the scripted expert presses the button, and its bag is a demonstration."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from launched import Launched

from glue_bringup.task_config import TASKS_DIRECTORY, load_task
from glue_perception.bags.reader import BagReader
from glue_policy.data.from_bags import training_set_of

ATTEMPTS = 3
LIGHT = {
    "max_duration_s": 60.0,
    "camera": {"width_px": 320, "height_px": 240, "rate_hz": 10.0},
    "policy": {"checkpoint": "push_button_tiny", "rate_hz": 5.0},
    "robot": {"silence_timeout_s": 10.0, "target_timeout_s": 10.0},
    "safety": {"watchdogs": {"max_state_age_s": 10.0, "max_chunk_age_s": 5.0}},
}
"""A third of the usual load."""

TOO_BUSY = (
    "frames are missing|steps are not|state are up to|gave no frame within|is silent|no observation came"
)
"""What is rightly refused, or ends an episode, where processors are taken away for tenths of a second and more."""

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
    def start(*arguments: str) -> Launched:
        launched = Launched("record.launch.py", *arguments)
        request.addfinalizer(launched.end)
        return launched

    return start


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """push_button at rates that a loaded machine can keep up with."""
    shipped = yaml.safe_load((TASKS_DIRECTORY / "push_button.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "light.yaml"
    path.write_text(yaml.safe_dump({**shipped, **LIGHT}), encoding="utf-8")
    return path


def test_the_expert_records_a_demonstration_to_train_on(launch, task: Path, tmp_path: Path) -> None:
    for attempt in range(ATTEMPTS):
        out = tmp_path / str(attempt)
        expert = ("teleop:=expert", "use_fake_hardware:=true", "end_after:=true", f"seed:={attempt}")
        launched = launch(f"task:={task}", f"out:={out}", "operator:=Ada", *expert)
        code = launched.wait()
        assert "Traceback" not in launched.text
        if code == 0:
            break
        assert code == 1
        assert re.search(TOO_BUSY, launched.text), launched.text
    else:
        pytest.skip("the machine is too busy for real time; see the audits of the episodes")
    (bag,) = out.glob("episode_*")
    assert launched.text.count("process has finished cleanly") == 5, launched.text
    with BagReader(bag) as reader:
        said = reader.metadata
        frames = [frame.stamp_ns for frame in reader.frames()]
        patches = [patches.stamp_ns for patches in reader.key_patches()]
        actions = [action.stamp_ns for action in reader.demonstrated_actions()]
    assert (said["outcome"], said["demonstrator"], said["operator"]) == ("success", "expert", "Ada")
    assert patches == frames
    assert set(actions) <= set(frames)
    assert len(training_set_of(out, 32, 1.0 / load_task(str(task)).policy.rate_hz)) == len(actions)
    info = subprocess.run(["ros2", "bag", "info", str(bag)], capture_output=True, text=True, timeout=120)
    assert info.returncode == 0, info.stderr
    assert re.search(rf"/glue/demonstrated_action .*Count: {len(actions)}\b", info.stdout), info.stdout


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
