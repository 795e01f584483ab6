"""Seams between chunks in whole episodes: flown, held, recorded, replayed, compared."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.cli.main import main
from glue_bringup.loop.control_step import ControlStep
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.sync_session import SyncSession
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_bringup.sim.sync_twin import SyncTwin
from glue_perception.bags.reader import BagReader
from glue_perception.geometry import rotation_6d_from_matrix
from glue_perception.types import ActionChunk
from glue_policy.checkpoint import save_policy
from glue_policy.chunk_seams import SeamConfig, SeamMode
from glue_policy.policies import build_policy, policy_config

MS = 1_000_000


@pytest.mark.render
# Three whole periods and the one that 0.36 s ends in have an action at either end.
@pytest.mark.parametrize(("mode", "frozen"), [(SeamMode.INPAINT, 5), (SeamMode.ENSEMBLE, 0)])
def test_an_episode_is_replayed_bit_for_bit(mode, frozen, untrained, short_task, tmp_path) -> None:
    policy = replace(short_task.policy, seams=SeamConfig(mode), sync_latency_s=0.36, num_inference_steps=4)
    task = replace(short_task, policy=policy)
    with SyncSession(task, Pilot(task, str(untrained))) as session:
        session.run(5, tmp_path / "bag")
    with BagReader(tmp_path / "bag") as bag:
        chunks = list(bag.chunks())
    assert [chunk.frozen for chunk in chunks] == [0] + [frozen] * (len(chunks) - 1)
    assert main(["replay", str(tmp_path / "bag"), "--report", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["chunks_identical"] == report["chunks_compared"] == len(chunks) > 3


def chunk_from(position_m: np.ndarray, stamp_ns: int) -> ActionChunk:
    rotation = np.tile(rotation_6d_from_matrix(np.diag([1.0, -1.0, -1.0])), (8, 1))
    return ActionChunk(stamp_ns, 0.1, np.tile(position_m, (8, 1)), rotation, np.zeros(8))


def test_the_source_hears_when_the_arm_does_not_follow(short_task) -> None:
    held, followed = [], []
    with SyncTwin("push_button", 0) as twin:
        twin.arm.start()
        supervisor = SafetySupervisor(short_task.safety, limits_for(RobotModel.FR3))
        control = ControlStep(
            supervisor, twin.arm, twin.gripper, None, lambda stamp, now: followed.append(stamp), held.append
        )
        position_m = twin.arm.state().T_base_ee[:3, 3]
        supervisor.reset(0, twin.arm.state())
        control.tick(0, twin.arm.state())
        control.submit(chunk_from(position_m, 0), 0)
        control.tick(0, twin.arm.state())
        assert (followed, held) == ([0], [])
        supervisor.operator_hold("stop")
        for now_ns in (10 * MS, 20 * MS):
            twin.advance(10 * MS)
            control.tick(now_ns, twin.arm.state())
        assert held == [10 * MS, 20 * MS]
        supervisor.release()
        control.submit(chunk_from(position_m, 20 * MS), 20 * MS)
        control.submit(chunk_from(position_m, 0), 20 * MS)
        assert (followed, held) == ([0, 20 * MS], [10 * MS, 20 * MS, 20 * MS])


@pytest.fixture(scope="module")
def untrained_act(tmp_path_factory):
    torch.manual_seed(0)
    policy = build_policy("act", policy_config("act", "tiny"))
    low = torch.tensor([0.35, -0.2, 0.2, 0.9, -0.1, -0.1, -0.1, -1.0, -0.1, 0.0])
    high = torch.tensor([0.6, 0.2, 0.4, 1.0, 0.1, 0.1, 0.1, -0.9, 0.1, 0.08])
    policy.fit_ranges(torch.stack([low, high]), torch.tensor([[-2.0] * 7, [2.0] * 7]))
    directory = tmp_path_factory.mktemp("checkpoints") / "act"
    save_policy(directory, policy, {"command": "none: random weights"})
    return directory


@pytest.fixture
def task_file(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text(
        "task: push_button\ninstruction: Press.\nqueries: [red button]\nmax_duration_s: 1.0\n"
        "policy: {checkpoint: push_button_tiny, num_inference_steps: 4}\n"
    )
    return path


def bench(task_file, policy, report, *words: str) -> int:
    base = ["bench", "seams", "--task", str(task_file), "--policy", str(policy), "--report", str(report)]
    return main([*base, *words])


@pytest.mark.render
def test_the_benchmark_compares_modes_on_the_same_seeds(
    task_file, untrained, tmp_path, capsys, monkeypatch
) -> None:
    report = tmp_path / "seams.json"
    words = ("--modes", "hard,inpaint", "--delays", "0.04", "--episodes", "2", "--seed", "7")
    flown = []
    plain = SyncSession.run

    def second_is_interrupted(self, seed, bag):
        flown.append(seed)
        if len(flown) == 2:
            raise KeyboardInterrupt
        return plain(self, seed, bag)

    monkeypatch.setattr(SyncSession, "run", second_is_interrupted)
    assert bench(task_file, untrained, report, *words) == 130
    assert not report.exists()
    assert bench(task_file, untrained, report, *words) == 0
    # What was finished before the interruption is not flown again.
    assert flown == [7, 8, 8, 7, 8]
    hard, inpaint = json.loads(report.read_text())["cells"]
    assert (hard["mode"], inpaint["mode"]) == ("hard", "inpaint")
    for cell in (hard, inpaint):
        assert [r["seed"] for r in cell["results"]] == [7, 8]
        assert cell["added_delay_s"] == 0.04
    # An untrained policy wants something else at every step.
    assert inpaint["seam_jumps"]["max_mm"] < 0.1 * hard["seam_jumps"]["p50_mm"]
    assert report.with_suffix(".png").stat().st_size > 1000
    assert not report.with_suffix(".episodes").exists()
    assert "inpaint      40 ms" in capsys.readouterr().out


@pytest.mark.render
def test_a_mode_that_the_policy_refuses_is_a_row(task_file, untrained_act, tmp_path, capsys) -> None:
    report = tmp_path / "seams.json"
    words = ("--modes", "inpaint,ensemble", "--delays", "0", "--episodes", "1")
    assert bench(task_file, untrained_act, report, *words) == 0
    refused, flown = json.loads(report.read_text())["cells"]
    assert "act cannot go on" in refused["refused"]
    assert flown["episodes"] == 1
    assert "refused: policy act cannot go on" in capsys.readouterr().out
    assert bench(task_file, untrained_act, report, "--modes", "inpaint", "--episodes", "1") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--modes", "inpant"), "inpaint"),
        (("--modes", "hard,hard"), "none twice"),
        (("--delays", "0,fast"), "seconds separated by commas"),
        (("--delays", "-0.1"), "must lie in 0"),
        (("--delays", "1.5"), "must lie in 0"),
        (("--policy", "expert"), "without a seam"),
        (("--seed", "-1"), "--seed must not be negative"),
    ],
)
@pytest.mark.render
def test_wrong_words_are_refused_at_once(words, message, task_file, tmp_path, capsys) -> None:
    assert bench(task_file, "push_button_tiny", tmp_path / "seams.json", *words) == 2
    assert message in capsys.readouterr().err
