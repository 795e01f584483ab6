"""`glue detect` end to end on a drawn scene, and on the paper's public clips where they are."""

import argparse
import importlib.util
import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from glue_bringup.cli import detect
from glue_bringup.cli.detect import frame_to_look_at
from glue_bringup.cli.follow import Follower
from glue_bringup.task_config import TASKS_DIRECTORY
from glue_perception.cameras.clip import ClipCamera
from glue_perception.errors import ConfigError, GlueError, HardwareError, MissingDependencyError, QueryError
from glue_perception.picture import write_picture
from glue_perception.pipeline import PerceptionConfig, build_pipeline
from glue_perception.timing import LatencyRecorder
from glue_perception.types import CameraFrame
from glue_perception.video import VideoWriter

CLIPS = Path(os.environ.get("GLUE_CLIPS_DIR", Path(__file__).parents[4] / "shared/data/real_robot_clips"))


def glue_detect(*words) -> int:
    parser = argparse.ArgumentParser()
    detect.register(parser.add_subparsers())
    args = parser.parse_args(["detect", *map(str, words)])
    return args.run(args)


def load_task_text() -> str:
    return (TASKS_DIRECTORY / "push_button.yaml").read_text()


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
    assert report["ok"]
    assert (report["refusals"], report["warnings"]) == ([], [])
    assert [o["query"] for o in report["objects"]] == report["queries"] == ["red button", "blue block"]
    assert [o["num_keypoints"] for o in report["objects"]] == [4, 6]
    assert report["objects"][1]["chosen"]["box_xyxy_px"] == [40, 150, 90, 180]
    assert report["objects"][1]["mask"]["area_px"] == pytest.approx(1500, rel=0.1)
    assert len(report["keypoints"]) == 10
    assert {tuple(k["row_col"]) for k in report["keypoints"]} == {tuple(cell) for cell in report["cells"]}
    assert report["back_ends"]["detector"] == "color"
    assert (report["width_px"], report["height_px"]) == (320, 240)
    drawn = cv2.imread("out/detect/scene.png")
    assert drawn.shape == (240, 320, 3)
    assert not np.array_equal(drawn, cv2.imread(str(picture)))
    assert "red button: box" in capsys.readouterr().out


def test_a_refusal_still_gives_picture_and_report(picture, capsys) -> None:
    """Two red things: the report names both, the exit code is QueryError's; the blue block is found all the same."""
    scene_ = cv2.circle(scene(), (250, 60), 12, (190, 25, 35), cv2.FILLED)
    write_picture(picture, scene_)
    with pytest.raises(QueryError, match="ambiguous") as refused:
        glue_detect(picture, "--query", "blue block", "--query", "red button", "--json")
    assert refused.value.exit_code == 3
    out = capsys.readouterr().out
    report = json.loads(out)
    assert report == json.loads(Path("out/detect/scene.json").read_text())
    assert not report["ok"]
    (refusal,) = report["refusals"]
    assert (refusal["reason"], refusal["query_indices"]) == ("ambiguous", [1])
    assert refusal["message"] == str(refused.value)
    blue, red = report["objects"]
    assert blue["chosen"] is not None
    assert blue["mask"] is not None
    assert red["chosen"] is None
    assert [c["box_xyxy_px"][0] for c in red["candidates"]] == [138, 238]
    assert report["keypoints"] == report["cells"] == []
    drawn = cv2.imread("out/detect/scene.png")
    assert (drawn[:20, :100] != cv2.imread(str(picture))[:20, :100]).mean() > 0.5


def test_json_alone_goes_to_stdout(clip, capsys) -> None:
    assert glue_detect(clip, "--query", "red button", "--track", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tracking"]["num_frames"] == 12
    assert set(report["latency_ms"]) == {"preflight", "update"}


def test_a_task_brings_queries_and_perception(picture, tmp_path, capsys) -> None:
    task = load_task_text().replace("queries: [red button]", "queries: [red button, blue block]")
    (tmp_path / "task.yaml").write_text(
        task + "perception: {num_keypoints: 8, choice: {max_box_share: 0.4}}\n"
    )
    assert glue_detect(picture, "--task", tmp_path / "task.yaml") == 0
    assert "red button: box" in capsys.readouterr().out
    report = json.loads(Path("out/detect/scene.json").read_text())
    assert report["queries"] == ["red button", "blue block"]
    assert len(report["keypoints"]) == 8
    assert glue_detect(picture, "--task", "push_button", "--num-keypoints", 5, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["keypoints"]) == 5
    with pytest.raises(ConfigError, match="leave out --config"):
        glue_detect(picture, "--task", "push_button", "--config", "x.yaml")
    with pytest.raises(ConfigError, match="Did you mean 'push_button'"):
        glue_detect(picture, "--task", "push_buton")


def test_back_ends_by_name(picture, tmp_path) -> None:
    (tmp_path / "given.yaml").write_text("given_boxes: {red button: [10, 10, 60, 60]}\nseed: 3\n")
    words = ["--query", "red button", "--config", tmp_path / "given.yaml", "--profile", "embedded"]
    assert glue_detect(picture, *words, "--segmenter", "grabcut", "--tracker", "lucas_kanade") == 0
    with pytest.raises(QueryError, match="stands out"):
        glue_detect(picture, *words, "--detector", "given")


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
    assert report["objects"][0]["chosen"]["box_xyxy_px"] == [135, 85, 166, 116]


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["--query", "green cup"], QueryError, "nothing green"),
        (["--query", "red button", "--num-keypoints", 2], ConfigError, "3 or more"),
        (["--query", "red button", "--track"], ConfigError, "single picture"),
        (["--query", "red button", "--frame", 9], ConfigError, "no frame 9"),
        (["--query", "red button", "--detector", "colour"], ConfigError, "Did you mean 'color'"),
        (["--query", "red button", "--profile", "embeded"], ConfigError, "Did you mean 'embedded'"),
        (["--query", "red button", "--query", "The red button"], QueryError, "ask for one object twice"),
        (["--query", "red button", "--query", " "], QueryError, "is empty"),
        (["--query", "red button", "--max-frames", 0], ConfigError, "max-frames"),
        (["--query", "red button", "--box", "1,2,3"], ConfigError, "four numbers"),
        (
            ["--query", "red button", "--box", "1,2,3,4", "--box", "1,2,3,4"],
            ConfigError,
            "there are 2 for 1",
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


class Stream:
    """A live camera: the scene at 20 Hz, and Ctrl-C while a certain frame is read. It ends, lest a test hang."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.count, self._interrupted_at = 0, interrupted_at

    def read(self, timeout_s: float) -> CameraFrame | None:
        if self.count == 40:
            return None
        if self.count == self._interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)
        self.count += 1
        return CameraFrame(self.count * 50_000_000, "camera", scene(300 + self.count), np.eye(3))

    def close(self) -> None:
        pass


def test_a_live_camera_warms_up_first() -> None:
    assert frame_to_look_at("realsense", Stream(), 0).stamp_ns == 1_050_000_000
    assert frame_to_look_at("clip.mp4", Stream(), 0).stamp_ns == 50_000_000


@pytest.fixture
def interruptible():
    """Python's own handler of Ctrl-C: a process started in the background begins without one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_live_camera_with_all_written(tmp_path) -> None:
    camera, video = Stream(interrupted_at=7), tmp_path / "live.mp4"
    pipeline = build_pipeline(PerceptionConfig(), ["red button"])
    frame = camera.read(1.0)
    pipeline.start(frame)
    follower = Follower(pipeline, video, LatencyRecorder(), 0, None)
    before = signal.getsignal(signal.SIGINT)
    follower.follow(frame, camera, None, until_interrupted=True)
    assert signal.getsignal(signal.SIGINT) is before
    assert follower.statistics.num_frames == len(list(ClipCamera(video).frames())) == 8
    pipeline.start(frame)
    with pytest.raises(KeyboardInterrupt):
        follower.follow(frame, Stream(interrupted_at=3), None, until_interrupted=False)


def test_settings_of_a_live_camera_come_from_a_file(picture, tmp_path) -> None:
    settings = tmp_path / "camera.yaml"
    settings.write_text("width_px: 848\nexposure_us: 99999999\n")
    with pytest.raises(ConfigError, match="exposure_us"):
        glue_detect("realsense", "--query", "red button", "--camera", settings)
    with pytest.raises(ConfigError, match="is a recording"):
        glue_detect(picture, "--query", "red button", "--camera", settings)


def test_a_live_camera_that_is_not_there(monkeypatch, tmp_path) -> None:
    """Without the camera, or without its package."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((HardwareError, MissingDependencyError), match=r"connected|pip install"):
        glue_detect("realsense:123", "--query", "red button")
    with pytest.raises(ConfigError, match="starts at its newest frame"):
        glue_detect("realsense:123", "--query", "red button", "--start-frame", 3)


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
    x0, y0, x1, y1 = report["objects"][0]["chosen"]["box_xyxy_px"]
    assert x0 <= center[0] <= x1
    assert y0 <= center[1] <= y1
    assert report["tracking"]["shares"]["tracked"] > least
