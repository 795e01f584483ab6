"""Videos that can be played back."""

import cv2
import numpy as np
import pytest

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.video import VideoWriter


def test_written_frames_come_back(tmp_path) -> None:
    path = tmp_path / "new" / "v.mp4"
    with VideoWriter(path, 30) as video:
        for level in range(0, 250, 25):
            video.write(np.full((48, 64, 3), (level, 0, 255 - level), np.uint8))
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (answer := capture.read())[0]:
        frames.append(answer[1][..., ::-1])
    assert len(frames) == 10
    assert abs(int(frames[-1][24, 32, 0]) - 225) < 12
    assert capture.get(cv2.CAP_PROP_FPS) == 30


def test_refuses_other_sizes_and_names(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"\.mp4"):
        VideoWriter(tmp_path / "v.txt", 30)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        VideoWriter(tmp_path / "folder.mp4", 30)
    video = VideoWriter(tmp_path / "v.mp4", 30)
    video.write(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InvalidValueError, match="cannot follow"):
        video.write(np.zeros((50, 64, 3), np.uint8))
    video.close()
    video.close()


def test_an_empty_video_leaves_no_file(tmp_path) -> None:
    VideoWriter(tmp_path / "v.mp4", 30).close()
    assert not (tmp_path / "v.mp4").exists()
