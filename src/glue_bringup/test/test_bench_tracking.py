"""`glue bench tracking` on a small clip of a textured square that slides and is covered for a while."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from glue_bringup.cli.main import main
from glue_perception.tracking_benchmark.clip_run import ClipRun
from glue_perception.tracking_benchmark.labels import LabelledPoint, read_labels
from glue_perception.tracking_benchmark.score import score_point
from glue_perception.video import VideoWriter

ROOT = Path(__file__).parents[3]
CLIPS = Path(os.environ.get("GLUE_CLIPS_DIR", ROOT.parent / "shared/data/real_robot_clips"))
LABELS = ROOT / "tests/data/real_robot_clips_labels.json"
HELD_OUT_LABELS = ROOT / "tests/data/real_robot_clips_held_out_labels.json"
WIDTH, HEIGHT, FRAMES = 320, 240, 60
COVERED = range(20, 35)


def texture(rng, height, width):
    coarse = rng.integers(40, 215, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def corner_xy(frame):
    return 90.0 + frame, 100.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    table, thing = texture(rng, HEIGHT, WIDTH), texture(rng, 60, 60)
    with VideoWriter(folder / "slide.mp4", 30.0) as video:
        for frame in range(FRAMES):
            image = table.copy()
            x, y = (int(v) for v in corner_xy(frame))
            image[y - 30 : y + 30, x - 30 : x + 30] = thing
            if frame in COVERED:
                image[y - 50 : y + 50, x - 50 : x + 50] = 235
            video.write(image)
    points = [
        {
            "name": "middle",
            "query": "thing",
            "frames": {str(f): None if f in COVERED else list(corner_xy(f)) for f in range(0, FRAMES, 3)},
        },
        {"name": "table", "query": "table", "frames": {"0": [30, 30], "25": [30, 30], "59": [30, 30]}},
        {"name": "late", "query": "table", "frames": {"3": None, "10": [280, 200], "50": [280, 200]}},
    ]
    labels = {"slide": {"width": WIDTH, "height": HEIGHT, "points": points}}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def bench(folder, out, *more):
    return main(
        [
            *("bench", "tracking", "--clips", str(folder), "--labels", str(folder / "labels.json")),
            *("--report", str(out / "report.json"), *more),
        ]
    )


def test_the_report_holds_error_and_honesty_of_every_point(folder, tmp_path):
    assert bench(folder, tmp_path) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ms_per_frame"] > 0 and report["slide"]["ms_per_frame"] > 0
    table, middle, late = (report["slide"][name] for name in ("table", "middle", "late"))
    assert table["median_px"] < 1 and table["visible_called_tracked"] == table["visible_frames"] == 3
    assert middle["visible_frames"] == 15 and middle["hidden_frames"] == 5
    assert middle["hidden_called_tracked"] == 0
    # Started at its first visible label; the hidden one before that does not count.
    assert late["visible_frames"] == 2 and late["hidden_frames"] == 0 and late["max_px"] < 1
    assert cv2.imread(str(tmp_path / "slide_lucas_kanade.png")) is not None
    about = json.loads((tmp_path / "report_about.json").read_text())
    assert about["config"]["lucas_kanade"] and about["git_revision"]


def test_the_plain_tracker_calls_hidden_frames_tracked(folder, tmp_path):
    assert bench(folder, tmp_path, "--tracker", "plain_lucas_kanade", "--video") == 0
    middle = json.loads((tmp_path / "report.json").read_text())["slide"]["middle"]
    assert middle["hidden_called_tracked"] >= 4
    assert (tmp_path / "slide_plain_lucas_kanade.mp4").stat().st_size > 0


def test_frames_may_be_brought_to_another_size(folder, tmp_path):
    assert bench(folder, tmp_path, "--size", "480x360") == 0
    table = json.loads((tmp_path / "report.json").read_text())["slide"]["table"]
    assert table["max_px"] < 1


def test_scores_count_what_health_said(tmp_path):
    point = LabelledPoint("p", "q", {0: (0.0, 0.0), 1: None, 2: None, 4: (3.0, 4.0), 6: (0.0, 0.0)})
    health = np.array([0, 0, 1, 1, 1, 0, 0])[:, None]
    run = ClipRun(np.zeros((7, 1, 2)), health, [1.0], 7, 10.0)
    scored = score_point(point, run, 0)
    assert (scored["visible_frames"], scored["hidden_frames"]) == (3, 2)
    assert scored["hidden_called_tracked"] == 1 and scored["visible_called_tracked"] == 2
    assert scored["median_px"] == 0.0 and scored["max_px"] == 5.0 and scored["tracked_max_px"] == 0.0
    assert scored["recovery_s"] == [0.1]


POINT = '{"name": "a", "query": "b", "frames": {"0": [1, 2]}}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "object of clip names"),
        ("{}", "labels no clip"),
        ('{"a": 1}', "width, height and points"),
        ('{"a": {"width": 0, "height": 5, "points": []}}', "width must be"),
        ('{"a": {"width": 9, "height": 5, "points": []}}', "at least one point"),
        (f'{{"a": {{"width": 9, "height": 5, "points": [{POINT}, {POINT}]}}}}', "two points"),
        (
            '{"a": {"width": 9, "height": 5, "points": [{"name": "p", "frames": {"x": null}}]}}',
            "frame number",
        ),
        (
            '{"a": {"width": 9, "height": 5, "points": [{"name": "p", "frames": {"1": null}}]}}',
            "hidden in every",
        ),
        ('{"a": {"width": 9, "height": 5, "points": [{"name": "p", "frames": {"1": [1, NaN]}}]}}', "finite"),
        ('{"a": {"width": 9, "height": 5, "points": [{"name": "p", "frames": {"1": [90, 1]}}]}}', "outside"),
        (
            '{"a": {"width": 9, "height": 5, "points": [{"name": "p", "frames": {"1": [1]}}]}}',
            "[x, y] or null",
        ),
    ],
)
def test_labels_that_are_wrong_are_refused_with_the_place(tmp_path, text, says):
    from glue_perception.errors import ConfigError

    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ConfigError, match=says.replace("[", r"\[")):
        read_labels(tmp_path / "labels.json")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--tracker", "lukas_kanade"], "Did you mean 'lucas_kanade'"),
        (["--size", "12"], "WxH"),
        (["--threads", "0"], "1 or more"),
        (["--clips", "nowhere"], "not a folder"),
        (["--clips", str(Path(__file__).parent)], "none of the labelled clips"),
    ],
)
def test_wrong_arguments_are_one_line(folder, tmp_path, capsys, more, says):
    assert bench(folder, tmp_path, *more) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_labels_of_another_cut_are_refused(folder, tmp_path, capsys):
    labels = json.loads((folder / "labels.json").read_text())
    labels["slide"]["points"][0]["frames"]["900"] = None
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    assert bench(folder, tmp_path, "--labels", str(tmp_path / "labels.json")) == 2
    assert "frame 900 is labelled" in capsys.readouterr().err


def test_the_labels_of_the_real_clips_are_readable():
    counts = [[len(clip.points) for clip in read_labels(path)] for path in (LABELS, HELD_OUT_LABELS)]
    assert counts == [[6, 8, 8, 6, 5, 9], [3] * 6]


@pytest.mark.clips
@pytest.mark.parametrize(
    ("labels", "hidden_labels", "visible_labels"),
    [(LABELS, 115, 491), (HELD_OUT_LABELS, 35, 200)],
    ids=["labels", "held out"],
)
def test_real_clips(tmp_path, labels, hidden_labels, visible_labels):
    """What docs/tracking_benchmark.md promises: near where the point is, and hidden when it is hidden."""
    if not CLIPS.is_dir():
        pytest.skip(f"{CLIPS} is absent; set GLUE_CLIPS_DIR to the folder of the paper's public clips")
    report_path = tmp_path / "report.json"
    arguments = ["--clips", str(CLIPS), "--labels", str(labels), "--report", str(report_path)]
    assert main(["bench", "tracking", *arguments]) == 0
    report = json.loads(report_path.read_text())
    points = {
        (clip.name, point.name): report[clip.name][point.name]
        for clip in read_labels(labels)
        for point in clip.points
    }
    assert sum(p["hidden_frames"] for p in points.values()) == hidden_labels
    assert sum(p["visible_frames"] for p in points.values()) == visible_labels
    assert sum(p["hidden_called_tracked"] for p in points.values()) == 0
    assert sum(p["visible_called_tracked"] for p in points.values()) >= 0.82 * visible_labels
    assert not {name for name, p in points.items() if p["median_px"] >= 5.0}
    # No point that is called tracked sits on something else.
    assert max(p["tracked_max_px"] for p in points.values()) < 6.0
