"""Hands the tests to the project's interpreter where another one was started, as `colcon test` does.

colcon runs each package's tests by the interpreter that it runs in itself: the system's, which has ROS 2 but not the
locked packages of `make setup`.
"""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the one option of pyproject.toml that the system's pytest may not know."""
    if importlib.util.find_spec("pytest_timeout") is None:
        parser.addoption("--timeout", help="of pytest-timeout, which is not installed here")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the same tests by $GLUE_PYTHON, the active environment's or the repository's own interpreter."""
    if importlib.util.find_spec("jaxtyping") is not None:
        return None
    # Plug-ins that ROS 2 brings need more than the locked packages; colcon's options come in PYTEST_ADDOPTS.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [_interpreter(), "-m", "pytest", "-p", "pytest_timeout", *config.invocation_params.args]
    return subprocess.run(command, cwd=config.invocation_params.dir, env=environment).returncode


def _interpreter() -> str:
    environment = Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv"))
    for python in (os.environ.get("GLUE_PYTHON", ""), environment / "bin/python", ROOT / ".venv/bin/python"):
        if python and Path(python).is_file():
            return str(python)
    raise pytest.UsageError(
        "this interpreter has not the project's Python packages, and no other one was found; run `make setup`, or "
        "name one in GLUE_PYTHON"
    )
