import os
import subprocess
import sys

import pytest

from glue_bringup.sim import rendering
from glue_perception.errors import RenderingError


@pytest.fixture
def untried(monkeypatch):
    """As in a process that has not asked yet."""
    monkeypatch.setattr(rendering, "_working", {})
    monkeypatch.setenv("MUJOCO_GL", "")


def test_a_display_back_end_is_refused(monkeypatch, untried) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(RenderingError, match="glfw"):
        rendering.require_rendering()


def test_without_any_library_the_remedy_is_named(monkeypatch, untried) -> None:
    monkeypatch.setattr(rendering, "BACKENDS", ("no_such_backend",))
    with pytest.raises(RenderingError, match=r"libegl1.*libosmesa6"):
        rendering.require_rendering()


def test_a_choice_in_the_environment_is_the_only_one_tried(monkeypatch, untried) -> None:
    tried = []
    monkeypatch.setattr(rendering, "_works", lambda name: tried.append(name) or False)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    with pytest.raises(RenderingError, match="osmesa"):
        rendering.require_rendering()
    assert tried == ["osmesa"]


@pytest.mark.render
def test_the_working_back_end_is_found_and_kept(untried) -> None:
    backend = rendering.require_rendering()
    assert backend in rendering.BACKENDS
    assert os.environ["MUJOCO_GL"] == backend
    assert rendering.require_rendering() == backend


def test_the_robot_modules_import_without_a_simulator() -> None:
    code = (
        "import sys; sys.modules['mujoco'] = sys.modules['franky_sim'] = None\n"
        "import glue_bringup.sim.sync_twin, glue_bringup.sim.protocol_twin, glue_bringup.sim.experts\n"
        "from glue_perception.errors import MissingDependencyError\n"
        "try: glue_bringup.sim.sync_twin.SyncTwin('push_button', 0)\n"
        "except MissingDependencyError as error: assert 'pip install' in str(error); sys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 7
