"""LeRobot's figures beside ours, from an environment of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

INTERPRETER_VARIABLE = "GLUE_LEROBOT_PYTHON"
TIME_LIMIT_S = 600


def lerobot_figures(threads: int, num_inference_steps: int, repetitions: int) -> dict[str, Any]:
    """Return the times of LeRobot's Diffusion Policy, or `skipped` with the reason."""
    interpreter = os.environ.get(INTERPRETER_VARIABLE)
    if interpreter is None:
        if importlib.util.find_spec("lerobot") is None:
            return {
                "skipped": f"lerobot is not installed; {INTERPRETER_VARIABLE} may name a Python that has it"
            }
        interpreter = sys.executable
    script = Path(__file__).with_name("lerobot_step.py")
    command = [interpreter, str(script), str(threads), str(num_inference_steps), str(repetitions)]
    try:
        # Without our own packages on the path: LeRobot's environment has other versions.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIME_LIMIT_S, env=environment, check=False
        )
        if done.returncode == 0:
            figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return figures
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        reason = str(error)
    return {"skipped": f"{interpreter} could not run LeRobot's Diffusion Policy: {reason}"}
