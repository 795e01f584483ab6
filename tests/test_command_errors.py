"""Bad input: one clear line with the remedy, a non-zero exit code, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glue_bringup.cli.main import main
from glue_bringup.task_config import TASKS_DIRECTORY
from glue_perception.bags import topics
from glue_perception.bags.mcap_writer import McapWriter, Stream
from glue_perception.bags.message_types import definition, message_class, typestore
from glue_perception.bags.messages import header


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


def test_query_without_a_match_in_a_picture(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "grey.png"
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(picture)
    code, line = error_of(capsys, "detect", str(picture), "--query", "red button")
    assert code == 3
    assert "red button" in line


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--query", ""], 3, "is empty; name an object"),
        (["--query", "red button", "--query", "Red Button"], 3, "ask for one object twice"),
        (["--query", "red button", "--query", "scarlet cap"], 3, "one query per colour"),
        (["--query", "button"], 3, "has no colour word"),
        (
            ["--query", "dot", "--box", "10,10,14,14", "--num-keypoints", "20"],
            3,
            "px cannot hold 20 keypoints",
        ),
        (["--query", "dot", "--box", "900,10,914,14"], 3, "outside the image of 160 x 120 px"),
        (["--query", "dot", "--box", "14,10,10,14"], 2, "right > left"),
        (["--task", "push_buton"], 2, "Did you mean 'push_button'"),
        (["--query", "red button", "--detector", "dino"], 2, "unknown detector 'dino'"),
    ],
)
def test_bad_queries_of_detect(capsys, tmp_path, monkeypatch, words, code, says) -> None:
    monkeypatch.chdir(tmp_path)
    image = np.full((120, 160, 3), 90, np.uint8)
    image[10:14, 10:14] = image[60:80, 60:80] = (190, 25, 35)
    Image.fromarray(image).save(tmp_path / "scene.png")
    found, line = error_of(capsys, "detect", "scene.png", *words)
    assert found == code
    assert says in line
    assert (tmp_path / "out/detect/scene.png").is_file() == (code == 3), "a refusal is drawn"


@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_files_that_are_no_picture(capsys, tmp_path, damage) -> None:
    picture = tmp_path / "scene.png"
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(picture)
    content = {"text": b"no picture", "empty": b"", "cut": picture.read_bytes()[:40]}[damage]
    picture.write_bytes(content)
    code, line = error_of(capsys, "detect", str(picture), "--query", "red button")
    assert code == 2
    assert "cannot be read as a picture" in line


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "1", "P"])
def test_pictures_that_are_not_rgb_are_read_as_rgb(capsys, tmp_path, monkeypatch, mode) -> None:
    monkeypatch.chdir(tmp_path)
    if mode == "I;16":
        image = Image.fromarray(np.full((120, 160), 30_000, np.uint16))
    else:
        image = Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).convert(mode)
    image.save(tmp_path / "scene.png")
    code, line = error_of(capsys, "detect", "scene.png", "--query", "red button")
    assert code == 3
    assert "nothing red" in line


@pytest.mark.filterwarnings("ignore::glue_perception.bags.reader.UnfinishedBagWarning")
@pytest.mark.parametrize(
    ("encoding", "focal_px", "says"),
    [
        ("yuv422", 600.0, "record the colour stream as one of"),
        ("16UC1", 600.0, "record the colour stream as one of"),
        ("rgb8", float("nan"), "calibrate the camera"),
        ("rgb8", 0.0, "calibrate the camera"),
    ],
)
def test_bags_of_other_images_and_of_no_camera(capsys, tmp_path, encoding, focal_px, says) -> None:
    bag = bag_of_one_image(tmp_path / "bag", encoding, focal_px)
    code, line = error_of(capsys, "detect", str(bag), "--query", "red button")
    assert code == 5
    assert str(bag) in line
    assert says in line


def bag_of_one_image(path: Path, encoding: str, focal_px: float) -> Path:
    """A bag as another program may have written it."""
    info, image = message_class("sensor_msgs/msg/CameraInfo"), message_class("sensor_msgs/msg/Image")
    roi = message_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
    K = np.array([focal_px, 0, 80, 0, focal_px, 60, 0, 0, 1])
    bytes_per_pixel = {"rgb8": 3, "yuv422": 2, "16UC1": 2}[encoding]
    pixels = np.zeros(120 * 160 * bytes_per_pixel, np.uint8)
    messages = {
        topics.CAMERA_INFO: info(
            header(1, "c"),
            120,
            160,
            "plumb_bob",
            np.zeros(5),
            K,
            np.eye(3).reshape(9),
            np.zeros(12),
            0,
            0,
            roi,
        ),
        topics.IMAGE: image(header(1, "c"), 120, 160, encoding, 0, 160 * bytes_per_pixel, pixels),
    }
    path.mkdir()
    writer = McapWriter(path / "bag_0.mcap", "test")
    for topic, message in messages.items():
        kind = topics.MESSAGE_TYPES[topic]
        channel = writer.add_channel(topic, kind, definition(kind), {})
        writer.add_message(Stream.SMALL, channel, 1, 1, bytes(typestore().serialize_cdr(message, kind)))
    writer.close()
    return path


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
