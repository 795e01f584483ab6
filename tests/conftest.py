"""Shared parts of the tests across packages: rendering, an untrained checkpoint, a short task."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glue_bringup.sim.rendering import require_rendering
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.errors import RenderingError
from glue_policy.checkpoint import save_policy
from glue_policy.policies.glue.configuration_glue import GlueConfig
from glue_policy.policies.glue.modeling_glue import GluePolicy

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def rendering(request: pytest.FixtureRequest) -> None:
    """Skip what is marked `render` where no OpenGL library works."""
    try:
        require_rendering()
    except RenderingError as error:
        for item in request.session.items:
            if item.get_closest_marker("render"):
                item.add_marker(pytest.mark.skip(reason=str(error)))


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the tiny preset with random weights: it moves the arm somewhere inside the workspace."""
    torch.manual_seed(0)
    policy = GluePolicy(GlueConfig.preset("tiny"))
    low = torch.tensor([0.35, -0.2, 0.2, 0.9, -0.1, -0.1, -0.1, -1.0, -0.1, 0.0])
    high = torch.tensor([0.6, 0.2, 0.4, 1.0, 0.1, 0.1, 0.1, -0.9, 0.1, 0.08])
    policy.fit_ranges(torch.stack([low, high]), torch.tensor([[-2.0] * 7, [2.0] * 7]))
    directory = tmp_path_factory.mktemp("checkpoints") / "untrained"
    save_policy(directory, policy, {"command": "none: random weights"})
    return directory


@pytest.fixture(scope="session")
def short_task() -> TaskConfig:
    """push_button for one and a half seconds."""
    return replace(load_task("push_button"), max_duration_s=1.5)
