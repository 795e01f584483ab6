"""`glue train`: what it needs, what it leaves, and how it goes on."""

import json
from pathlib import Path

import pytest
import torch
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
    ("option", "value", "word", "code"),
    [
        ("--steps", "-1", "steps", 2),
        ("--preset", "tinny", "Did you mean 'tiny'", 2),
        ("--max-minutes", "nan", "max_minutes", 2),
        ("--policy", "glu", "Did you mean 'glue'", 2),
        ("--precision", "bf16", "bfloat16", 2),
        ("--init-from", "push_buton_tiny", "Did you mean 'push_button_tiny'", 4),
    ],
)
def test_wrong_settings_are_named_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, value: str, word: str, code: int
) -> None:
    assert train(tmp_path / "nothing", tmp_path / "run", option, value) == code
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
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert f"loss curve: {out / 'loss.png'}" in capsys.readouterr().out
    weights = (checkpoint / "model.safetensors").read_bytes()
    assert train(data, out) == 0
    assert "going on from step 2" in capsys.readouterr().out
    assert (checkpoint / "model.safetensors").read_bytes() == weights


def test_another_run_in_the_same_place_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data, out = record(tmp_path / "data"), tmp_path / "run"
    assert train(data, out) == 0
    assert train(data, out, "--seed", "1") == 2
    assert "other settings: seed was 0, now 1" in capsys.readouterr().err
    assert train(data, out, "--policy", "dp") == 2
    assert "policy was glue, now dp" in capsys.readouterr().err
    other = record(tmp_path / "other", steps=5)
    assert train(other, out) == 2
    assert "other training data: fingerprint was" in capsys.readouterr().err


def test_a_policy_that_needs_depth_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert train(record(tmp_path / "data"), tmp_path / "run", "--policy", "dp3") == 5
    assert "depth" in capsys.readouterr().err


def test_a_shipped_checkpoint_can_be_trained_on(tmp_path: Path) -> None:
    data, out = record(tmp_path / "data"), tmp_path / "run"
    assert train(data, out, "--init-from", "push_button_tiny", "--learning-rate", "1e-9") == 0
    new, old = load_policy(out / "checkpoint"), load_policy(find_checkpoint("push_button_tiny"))
    assert new.config == old.config
    torch.testing.assert_close(dict(new.named_parameters()), dict(old.named_parameters()), atol=1e-6, rtol=0)
