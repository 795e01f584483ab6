"""A bag stands in for a camera."""

import pytest
from episodes import Episode, same

from glue_perception.cameras.bag import BagCamera
from glue_perception.cameras.base import Camera
from glue_perception.errors import BagError


def test_frames_come_one_after_the_other_and_end(tmp_path):
    episode = Episode()
    camera: Camera = BagCamera(episode.write(tmp_path / "bag"))
    for frame in episode.frames:
        read = camera.read(0.1)
        assert read is not None
        assert same(read, frame)
    assert camera.read(0.1) is None
    camera.close()
    camera.close()


def test_a_closed_camera_has_ended(tmp_path):
    camera = BagCamera(Episode().write(tmp_path / "bag"))
    camera.close()
    assert camera.read(0.1) is None


def test_no_bag(tmp_path):
    with pytest.raises(BagError):
        BagCamera(tmp_path)
