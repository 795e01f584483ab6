"""`glue train`: what it needs, what it leaves, and how it goes on."""

import json
from pathlib import Path

import pytest
import yaml
from demonstration_bags import record

from glue_bringup.cli.main import main
from glue_policy.checkpoint import find_checkpoint, load_policy


def train(data: Path, out: Path, *more: str) -> int:
    small = ("--batch-size", "2", "--steps", "2")
    return main(["train", "push_button", "--data", str(data), "--out", str(out), *small, *more])


def test_without_demonstrations_it_names_the_command_that_makes_some(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "push_button"]) == 2
    error = capsys.readouterr().err
    assert "glue sim push_button --policy expert --sync" in error
    assert "--record data/push_button" in error


def test_demonstrations_of_another_task_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train(record(tmp_path / "data", task="fold_towel"), tmp_path / "run") == 2
    assert "'fold_towel', not 'push_button'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--steps", "-1", "steps"),
        ("--preset", "tinny", "Did you mean 'tiny'"),
        ("--max-minutes", "nan", "max_minutes"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, value: str, word: str
) -> None:
    assert train(tmp_path / "nothing", tmp_path / "run", option, value) == 2
    assert word in capsys.readouterr().err


def test_it_leaves_a_checkpoint_with_its_record_and_goes_on_from_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, out = record(tmp_path / "data"), tmp_path / "run"
    assert train(data, out) == 0
    checkpoint = find_checkpoint(str(out / "checkpoint"))
    load_policy(checkpoint)
    facts = json.loads((checkpoint / "provenance.json").read_text())
    assert facts["task"] == "push_button"
    assert facts["data"] == str(data)
    assert facts["steps_done"] == 2
    assert facts["train_config"]["batch_size"] == 2
    assert facts["loss"] > 0
    assert "version.torch" in facts
    assert "git_revision" in facts
    assert yaml.safe_load((out / "run.yaml").read_text())["train"]["steps"] == 2
    weights = (checkpoint / "model.safetensors").read_bytes()
    assert train(data, out) == 0
    assert "going on from step 2" in capsys.readouterr().out
    assert (checkpoint / "model.safetensors").read_bytes() == weights


def test_another_run_in_the_same_place_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data, out = record(tmp_path / "data"), tmp_path / "run"
    assert train(data, out) == 0
    assert train(data, out, "--seed", "1") == 2
    assert "other settings" in capsys.readouterr().err
