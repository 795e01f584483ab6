"""DP3 from end to end in the twin: depth in demonstrations, points at run time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glue_bringup.cli.main import main
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.sync_session import SyncSession
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.bags.reader import BagReader
from glue_policy.checkpoint import save_policy
from glue_policy.data.point_cloud import PointCloudConfig, frame_points
from glue_policy.policies import build_policy, policy_config

LOW_M, HIGH_M = torch.tensor([0.35, -0.2, 0.2]), torch.tensor([0.6, 0.2, 0.4])


@pytest.fixture(scope="module")
def untrained_dp3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    policy = build_policy("dp3", policy_config("dp3", "tiny"))
    rotation = torch.tensor([0.9, -0.1, -0.1, -0.1, -1.0, -0.1])
    low, high = (
        torch.cat([p, r, torch.tensor([w])]) for p, r, w in ((LOW_M, rotation, 0.0), (HIGH_M, rotation, 0.08))
    )
    policy.fit_ranges(torch.stack([low, high]), torch.tensor([[-2.0] * 7, [2.0] * 7]))
    directory = tmp_path_factory.mktemp("checkpoints") / "dp3"
    save_policy(directory, policy, {"command": "none: random weights"})
    return directory


@pytest.mark.render
def test_it_flies_and_its_bag_holds_the_depth(
    untrained_dp3: Path, short_task: TaskConfig, tmp_path: Path
) -> None:
    with SyncSession(short_task, Pilot(short_task, str(untrained_dp3))) as session:
        session.run(3, tmp_path / "bag")
    with BagReader(tmp_path / "bag") as bag:
        frames, chunks = list(bag.frames()), list(bag.chunks())
        assert "depth: true" in bag.metadata["task_config"]
    assert len(chunks) == 15
    assert all(frame.depth_m is not None for frame in frames)
    assert main(["replay", str(tmp_path / "bag"), "--report", str(tmp_path / "report.json")]) == 0
    assert '"chunks_identical": 15' in (tmp_path / "report.json").read_text()


@pytest.mark.render
def test_the_button_is_among_the_points(short_task: TaskConfig, tmp_path: Path) -> None:
    task = replace(load_task("push_button"), max_duration_s=1.0).with_depth()
    with SyncSession(task, Pilot(task, "expert")) as session:
        session.run(0, tmp_path / "bag")
        cap_top_m = session._twin.truth.cap_top_m
    with BagReader(tmp_path / "bag") as bag:
        frame = next(iter(bag.frames()))
    points = frame_points(frame, task.camera.T_base_camera, PointCloudConfig(num_points=256))
    assert np.linalg.norm(points - cap_top_m, axis=1).min() < 0.03


def test_the_real_time_twin_says_that_it_has_no_depth(
    untrained_dp3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", "push_button", "--policy", str(untrained_dp3)]) == 2
    assert "--sync" in capsys.readouterr().err
