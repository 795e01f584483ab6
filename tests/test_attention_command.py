"""`glue attention`: a video and pictures of what a policy looks at in a bag."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from glue_bringup.cli.main import main
from glue_bringup.recording.attribution_picture import STRIP_PX, most_selective, saliency_level
from glue_bringup.task_config import TASKS_DIRECTORY
from glue_perception.errors import BagError
from glue_policy.checkpoint import save_policy
from glue_policy.policies import build_policy, policy_config

TITLE_PX = 26


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the expert."""
    folder = tmp_path_factory.mktemp("attention")
    task = yaml.safe_load((TASKS_DIRECTORY / "push_button.yaml").read_text())
    (folder / "short.yaml").write_text(yaml.safe_dump({**task, "max_duration_s": 1.0}))
    recording = ["sim", str(folder / "short.yaml"), "--sync", "--policy", "expert", "--record", str(folder)]
    assert main(recording) == 0
    return folder / "episode_000000"


@pytest.mark.render
def test_video_and_pictures_of_a_policy_with_attention(bag, untrained, tmp_path, capsys) -> None:
    video = tmp_path / "a.mp4"
    arguments = ["--policy", str(untrained), "--output", str(video), "--every", "15", "--pictures", "1"]
    assert main(["attention", str(bag), *arguments, "--token", "3,4"]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert files == [video, tmp_path / "a_00.0s.png"]
    size = (480 + TITLE_PX + STRIP_PX, 2 * 640)
    assert cv2.imread(str(files[1])).shape[:2] == size
    capture = cv2.VideoCapture(str(video))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert len(frames) == 2
    assert frames[0].shape[:2] == size
    assert (frames[0] != frames[1]).any()


@pytest.mark.render
def test_a_policy_without_attention_gets_its_saliency(bag, tmp_path, capsys) -> None:
    torch.manual_seed(0)
    policy = build_policy("glue_s", policy_config("glue_s", "tiny"))
    save_policy(tmp_path / "checkpoint", policy, {"command": "none: random weights"})
    arguments = ["--policy", str(tmp_path / "checkpoint"), "--output", str(tmp_path / "s.mp4")]
    assert main(["attention", str(bag), *arguments, "--every", "100", "--pictures", "1"]) == 0
    picture = cv2.imread(capsys.readouterr().out.splitlines()[1])
    assert picture.shape[:2] == (480 + TITLE_PX, 640)
    assert (picture[TITLE_PX:].max(axis=2) != picture[TITLE_PX:].min(axis=2)).any(), "nothing is coloured"


def test_what_is_no_bag_is_refused(tmp_path, capsys) -> None:
    arguments = ["attention", str(tmp_path / "none"), "--output", str(tmp_path / "a.mp4")]
    assert main(arguments) == BagError.exit_code
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit):
        main([*arguments, "--token", "14,0"])


def test_the_most_selective_token_and_the_scale_of_saliency() -> None:
    attention = np.full((196, 4), 0.25)
    attention[30] = (0.7, 0.1, 0.1, 0.1)
    assert (most_selective(attention).row, most_selective(attention).col) == (2, 2)
    even = np.full((150, 150), 1 / 150**2)
    assert saliency_level(even).max() == pytest.approx(0.0, abs=1e-6)
    even[60:90, 60:90] *= 64.0
    assert saliency_level(even / even.sum())[75, 75] > 0.5
