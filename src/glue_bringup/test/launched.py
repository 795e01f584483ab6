"""A `ros2 launch` of the users' own launch files under test, and a task that a loaded machine can keep up with."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from glue_bringup.task_config import TASKS_DIRECTORY

LAUNCH = Path(__file__).parents[1] / "launch"
DOMAIN_ID = int(os.environ["ROS_DOMAIN_ID"])
DOMAIN = {
    **os.environ,
    "GLUE_PYTHON": sys.executable,
    "ROS_PYTHON_CHECK_FIELDS": "1",
}
"""Environment of whatever takes part in the graph under test."""

LAUNCH_MARKS = [
    pytest.mark.ros,
    pytest.mark.render,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("ros2") is None, reason="ros2 is not on PATH: source /opt/ros/jazzy/setup.bash"
    ),
]
"""Of a file of tests that start whole graphs."""

START_S = 240.0
"""On a loaded machine the imports alone take tens of seconds."""

PATIENT = {
    "max_duration_s": 600.0,
    "settle_s": 600.0,
    "camera": {"width_px": 320, "height_px": 240, "rate_hz": 10.0},
    "robot": {"silence_timeout_s": 10.0, "target_timeout_s": 10.0},
    "policy": {"seams": {"mode": "inpaint"}},
    "safety": {
        "motion": {"translation_velocity_m_s": 0.01, "rotation_velocity_rad_s": 0.05},
        "watchdogs": {"max_state_age_s": 10.0, "max_chunk_age_s": 5.0, "max_following_error_m": 0.5},
    },
}
"""An episode that goes on until it is ended, at half the usual load, and limits that processors taken away do not
reach; the ages of frames and key-patches are those of every task. The arm creeps, so that it never hides the button
from the next episode's first frame."""


def patient_task(directory: Path, **changes: Any) -> Path:
    """Write push_button with PATIENT and other changes; return the file."""
    task = yaml.safe_load((TASKS_DIRECTORY / "push_button.yaml").read_text(encoding="utf-8"))
    path = directory / "patient.yaml"
    path.write_text(yaml.safe_dump(_merged(_merged(task, PATIENT), changes)), encoding="utf-8")
    return path


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {k: _merged(base[k], v) if isinstance(base.get(k), dict) else v for k, v in changes.items()}
    return {**base, **both}


class Launched:
    """A `ros2 launch` under way; its lines are kept."""

    def __init__(self, file: str, *arguments: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            ["ros2", "launch", str(LAUNCH / file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=DOMAIN,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def pid(self, name: str) -> int:
        """Return the process of a node, of several the newest."""
        found = re.findall(rf"\[{name}-\d+\]: process started with pid \[(\d+)\]", self.text)
        return int(found[-1])

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str, after: int = 0, timeout_s: float = START_S) -> re.Match[str]:
        """Wait for a line, counted from the `after`-th."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for line in self.lines[after:]:
                if match := re.search(pattern, line):
                    return match
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail(f"no line matches {pattern!r}:\n{self.text}")

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            code = self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the launch has not ended within {START_S:g} s:\n{self.text}")
        self._reader.join(10.0)
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60.0)
        # Whatever is left of the graph, also where the launch itself has died, must not be there in the next test.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60.0)
        self._reader.join(10.0)
        if self.process.stdout is not None:
            self.process.stdout.close()
