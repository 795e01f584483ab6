"""Bad input: one clear line with the remedy, a non-zero exit code, no traceback."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from glue_bringup.cli.main import main
from glue_bringup.task_config import TASKS_DIRECTORY


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(list(arguments))
    lines = capsys.readouterr().err.strip().splitlines()
    assert code != 0
    assert lines[-1].startswith("error: ")
    assert not any("Traceback" in line for line in lines)
    return code, lines[-1]


@pytest.mark.parametrize("command", ["sim", "eval", "train"])
def test_unknown_task(capsys, command) -> None:
    code, line = error_of(capsys, command, "push_buton")
    assert code == 2
    assert "Did you mean 'push_button'" in line


def test_unknown_command(capsys) -> None:
    assert "Did you mean 'replay'" in error_of(capsys, "replai")[1]


@pytest.mark.render
def test_missing_checkpoint(capsys) -> None:
    code, line = error_of(capsys, "sim", "push_button", "--sync", "--policy", "nowhere/to/be/found")
    assert code == 4
    assert "nowhere/to/be/found" in line


@pytest.mark.render
@pytest.mark.parametrize("damage", ["truncated", "garbage", "no config", "nan", "other shape"])
def test_corrupt_checkpoint(capsys, tmp_path, untrained, damage) -> None:
    from safetensors.torch import load_file, save_file

    weights = untrained / "model.safetensors"
    copy = tmp_path / "model.safetensors"
    if damage != "no config":
        (tmp_path / "config.yaml").write_text((untrained / "config.yaml").read_text())
    if damage == "truncated":
        copy.write_bytes(weights.read_bytes()[:100_000])
    elif damage == "garbage":
        copy.write_bytes(b"\xff" * 1000)
    else:
        tensors = load_file(weights)
        if damage == "nan":
            tensors["fusion.out.weight"][0, 0] = float("nan")
        if damage == "other shape":
            tensors["fusion.out.weight"] = tensors["fusion.out.weight"][:5].contiguous()
        save_file(tensors, copy)
    code, line = error_of(capsys, "sim", "push_button", "--sync", "--policy", str(tmp_path))
    assert code == 4
    assert str(tmp_path) in line


@pytest.mark.render
def test_query_without_a_match_in_the_scene(capsys, tmp_path, untrained) -> None:
    text = (TASKS_DIRECTORY / "push_button.yaml").read_text().replace("red button", "purple button")
    task = tmp_path / "task.yaml"
    task.write_text(text)
    code, line = error_of(capsys, "sim", str(task), "--sync", "--policy", str(untrained))
    assert code == 3
    assert "purple button" in line


def test_query_without_a_match_in_a_picture(capsys, tmp_path) -> None:
    picture = tmp_path / "grey.png"
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(picture)
    code, line = error_of(capsys, "detect", str(picture), "--query", "red button")
    assert code == 3
    assert "red button" in line


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("max_duration_s", "max_duraton_s"), "Did you mean 'max_duration_s'"),
        (("rate_hz: 10.0", "rate_hz: fast"), "rate_hz must be float, found 'fast'"),
        (("rate_hz: 10.0", "rate_hz: 1000.0"), "rate_hz must lie in"),
        (("queries: [red button]", "queries: []"), "queries must name at least one"),
        (("policy:", "policy: ["), "not valid YAML"),
        (("task: push_button", "task: push_button\nperception: {detector: colour}"), "Did you mean 'color'"),
        (
            ("task: push_button", "task: push_button\nsafety: {motion: {translation_velocity_m_s: -1}}"),
            "positive",
        ),
    ],
)
def test_wrong_yaml(capsys, tmp_path, change, says) -> None:
    text = (TASKS_DIRECTORY / "push_button.yaml").read_text()
    assert change[0] in text
    task = tmp_path / "task.yaml"
    task.write_text(text.replace(*change))
    code, line = error_of(capsys, "sim", str(task), "--sync")
    assert code == 2
    assert says in line


def test_unreadable_bag(capsys, tmp_path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "bag_0.mcap").write_bytes(b"not a bag at all")
    for path in (tmp_path / "bag", tmp_path / "absent"):
        code, line = error_of(capsys, "replay", str(path))
        assert code == 5
        assert str(path) in line


def test_no_demonstrations(capsys, tmp_path) -> None:
    code, line = error_of(capsys, "train", "push_button", "--data", str(tmp_path))
    assert code == 2
    assert "--policy expert" in line


def test_wrong_numbers(capsys) -> None:
    assert "--noise-m" in error_of(capsys, "sim", "push_button", "--noise-m", "7")[1]
    assert "--seed" in error_of(capsys, "sim", "push_button", "--seed", "-1")[1]
    with pytest.raises(SystemExit) as stop:
        main(["sim", "push_button", "--episodes", "0"])
    assert stop.value.code == 2


def test_no_rendering_library() -> None:
    environment = dict(os.environ, MUJOCO_GL="egl", __EGL_VENDOR_LIBRARY_FILENAMES="nowhere.json")
    result = subprocess.run(
        [sys.executable, "-m", "glue_bringup.cli.main", "sim", "push_button", "--sync", "--policy", "expert"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 6, result.stderr
    assert result.stderr.strip().startswith("error: ")
    assert "apt" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["", "sim", "detect", "train", "eval", "replay", "demo"])
def test_help(capsys, command) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert "usage: " in capsys.readouterr().out
