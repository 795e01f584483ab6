"""`glue detect` end to end on a drawn scene, and on the paper's public clips where they are."""

import argparse
import importlib.util
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from glue_bringup.cli import detect
from glue_perception.cameras.clip import ClipCamera
from glue_perception.errors import ConfigError, GlueError, QueryError
from glue_perception.picture import write_picture
from glue_perception.video import VideoWriter

CLIPS = Path(os.environ.get("GLUE_CLIPS_DIR", Path(__file__).parents[4] / "shared/data/real_robot_clips"))


def glue_detect(*words) -> int:
    parser = argparse.ArgumentParser()
    detect.register(parser.add_subparsers())
    args = parser.parse_args(["detect", *map(str, words)])
    return args.run(args)


def scene(x: int = 300) -> np.ndarray:
    image = np.full((240, 320, 3), (170, 155, 135), np.uint8)
    image[150:180, 40:90] = (25, 40, 190)
    return cv2.circle(image, (x // 2, 100), 12, (190, 25, 35), cv2.FILLED)


@pytest.fixture
def picture(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "scene.png", scene())
    return tmp_path / "scene.png"


@pytest.fixture
def clip(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(tmp_path / "scene.mp4", 30.0) as video:
        for k in range(12):
            video.write(scene(300 + 4 * k))
    return tmp_path / "scene.mp4"


def test_picture(picture, capsys) -> None:
    assert glue_detect(picture, "--query", "red button", "--query", "blue block", "--num-keypoints", 10) == 0
    report = json.loads(Path("out/detect/scene.json").read_text())
    assert [d["query"] for d in report["detections"]] == ["red button", "blue block"]
    assert len(report["keypoints"]) == 10
    assert (report["width_px"], report["height_px"]) == (320, 240)
    drawn = cv2.imread("out/detect/scene.png")
    assert drawn.shape == (240, 320, 3)
    assert not np.array_equal(drawn, cv2.imread(str(picture)))
    assert "red button: box" in capsys.readouterr().out


def test_tracking_writes_a_video_that_plays(clip, tmp_path, capsys) -> None:
    video = tmp_path / "deep" / "tracked.mp4"
    assert glue_detect(clip, "--query", "red button", "--track", "--video", video, "--frame", 5) == 0
    frames = list(ClipCamera(video).frames())
    assert len(frames) == 12
    assert frames[0].rgb.shape == (240, 320, 3)
    tracking = json.loads(Path("out/detect/scene.json").read_text())["tracking"]
    assert tracking["num_frames"] == 12
    assert tracking["shares"]["tracked"] > 0.9
    assert "tracked" in capsys.readouterr().out


def test_part_of_a_clip(clip) -> None:
    assert glue_detect(clip, "--query", "red button", "--track", "--start-frame", 4, "--max-frames", 3) == 0
    report = json.loads(Path("out/detect/scene.json").read_text())
    assert report["tracking"]["num_frames"] == 3
    assert report["stamp_ns"] == pytest.approx(4e9 / 30, abs=1e6)


def test_a_box_by_hand(picture) -> None:
    assert glue_detect(picture, "--query", "that thing", "--box", "135,85,166,116") == 0
    report = json.loads(Path("out/detect/scene.json").read_text())
    assert report["detections"][0]["box_xyxy_px"] == [135, 85, 166, 116]


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["--query", "green cup"], QueryError, "nothing green"),
        (["--query", "red button", "--num-keypoints", 2], ConfigError, "3 or more"),
        (["--query", "red button", "--track"], ConfigError, "single picture"),
        (["--query", "red button", "--frame", 9], ConfigError, "holds no frame 9"),
        (["--query", "red button", "--max-frames", 0], ConfigError, "max-frames"),
        (["--query", "red button", "--box", "1,2,3"], ConfigError, "four numbers"),
        (
            ["--query", "red button", "--box", "1,2,3,4", "--box", "1,2,3,4"],
            ConfigError,
            "2 --box for 1 --query",
        ),
        (["--query", "red button", "--video", "x.mp4"], ConfigError, "add --track"),
        (["--query", "red button", "--output", "."], ConfigError, "is a folder"),
        (["--query", "red button", "--config", "none.yaml"], ConfigError, "cannot read"),
    ],
)
def test_refuses(picture, words, error, says) -> None:
    with pytest.raises(error, match=says):
        glue_detect(picture, *words)


def test_refuses_sources(tmp_path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        glue_detect(tmp_path / "none", "--query", "red button")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(GlueError, match="cannot be read"):
        glue_detect(tmp_path / "text.mp4", "--query", "red button")


def test_an_empty_folder_is_no_bag(tmp_path) -> None:
    if importlib.util.find_spec("glue_perception.bags.reader") is None:
        pytest.skip("glue_perception.bags.reader is not there yet")
    with pytest.raises(GlueError):
        glue_detect(tmp_path, "--query", "red button")


@pytest.mark.clips
@pytest.mark.parametrize(
    ("name", "query", "center", "least"),
    [
        ("button-glue", "red button", (483, 305), 0.85),
        ("button-glue-clutter", "red button", (500, 320), 0.8),
        ("stack-glue", "blue block", (398, 423), 0.85),
        ("mango-glue", "yellow mango", (498, 337), 0.7),
        ("mango-glue-light", "yellow mango", (493, 308), 0.4),
        ("towel-glue", "blue towel", (588, 402), 0.7),
    ],
)
def test_real_clips(name, query, center, least, tmp_path, monkeypatch) -> None:
    """The object is the right one, and as many points are followed as docs/real_clips.md says."""
    path = CLIPS / f"{name}.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set GLUE_CLIPS_DIR to the folder of the paper's public clips")
    monkeypatch.chdir(tmp_path)
    assert glue_detect(path, "--query", query, "--track") == 0
    report = json.loads(Path(f"out/detect/{name}.json").read_text())
    x0, y0, x1, y1 = report["detections"][0]["box_xyxy_px"]
    assert x0 <= center[0] <= x1
    assert y0 <= center[1] <= y1
    assert report["tracking"]["shares"]["tracked"] > least
