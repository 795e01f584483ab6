"""Evaluation during training: its placements, its going on, and the command that runs it."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from demonstration_bags import record

from glue_bringup.cli.eval import FIRST_SEED
from glue_bringup.cli.main import main
from glue_bringup.loop.validation import PROGRESS_FILE, VALIDATION_SEEDS, Validation
from glue_bringup.task_config import TaskConfig
from glue_perception.config import to_mapping
from glue_perception.errors import ConfigError
from glue_policy.checkpoint import load_policy


def test_its_placements_are_neither_demonstrated_nor_those_of_the_final_evaluation(
    short_task: TaskConfig, tmp_path: Path
) -> None:
    assert FIRST_SEED not in VALIDATION_SEEDS
    assert 0 not in VALIDATION_SEEDS
    Validation(short_task, 5, tmp_path, record(tmp_path / "apart", seed=VALIDATION_SEEDS.start + 5))
    seen = record(tmp_path / "seen", seed=VALIDATION_SEEDS.start + 4)
    with pytest.raises(ConfigError, match="was recorded with seed 50004"):
        Validation(short_task, 5, tmp_path, seen)
    with pytest.raises(ConfigError, match="at most 50000"):
        Validation(short_task, 50_001, tmp_path, seen)


@pytest.mark.render
def test_it_goes_on_where_it_was_stopped(short_task: TaskConfig, untrained: Path, tmp_path: Path) -> None:
    validation = Validation(short_task, 2, tmp_path, record(tmp_path / "data"))
    assert validation(untrained, 10, lambda: True) is None
    lines = (tmp_path / PROGRESS_FILE).read_text().splitlines()
    assert len(lines) == 2, "what was evaluated, and the episode under way"
    found = validation(untrained, 10, lambda: False)
    assert found is not None
    assert found.episodes == 2
    assert [result["seed"] for result in found.report["results"]] == [50_000, 50_001]
    first = json.loads(lines[1])
    assert found.report["results"][0] == first, "the finished episode is not run again"
    assert not (tmp_path / PROGRESS_FILE).exists()


@pytest.mark.render
def test_train_keeps_the_best_checkpoint(
    short_task: TaskConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "task.yaml"
    task.write_text(yaml.safe_dump(to_mapping(short_task)))
    data, out = record(tmp_path / "data"), tmp_path / "run"
    arguments = [
        "train",
        str(task),
        "--data",
        str(data),
        "--out",
        str(out),
        "--batch-size",
        "2",
        "--steps",
        "2",
    ]
    assert main([*arguments, "--policy", "dp", "--evaluate-every", "1", "--evaluate-episodes", "1"]) == 0
    with (out / "evaluations.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2"]
    evaluation = json.loads((out / "best" / "evaluation.json").read_text())
    assert evaluation["step"] == 2
    assert evaluation["seed"] == VALIDATION_SEEDS.start
    load_policy(out / "best", name="dp")
    assert f"--policy {out / 'best'}" in capsys.readouterr().out
