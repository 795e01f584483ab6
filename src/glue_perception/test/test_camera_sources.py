"""One word or path opens every kind of camera, and what does not exist is said clearly."""

import numpy as np
import pytest
from episodes import Episode, same
from scenes import table
from stream_faults import frames_of

from glue_perception.cameras.base import CountingCamera
from glue_perception.cameras.realsense_config import RealSenseConfig
from glue_perception.cameras.sources import is_live, open_camera
from glue_perception.cameras.statistics import ClockDomain
from glue_perception.errors import BagError, ConfigError
from glue_perception.picture import write_picture
from glue_perception.video import VideoWriter


def clip(path):
    with VideoWriter(path, 20.0) as video:
        for k in range(6):
            video.write(np.full((48, 64, 3), 30 * k, np.uint8))
    return path


def test_a_picture_gives_one_frame_then_none(tmp_path):
    image = table()
    write_picture(tmp_path / "scene.PNG", image)
    camera = open_camera(str(tmp_path / "scene.PNG"))
    (frame,) = frames_of(camera)
    assert np.array_equal(frame.rgb, image)
    assert camera.read(0.1) is None
    assert camera.statistics.delivered == 1


def test_a_clip_and_where_to_start(tmp_path):
    path = str(clip(tmp_path / "clip.mp4"))
    assert len(frames_of(open_camera(path))) == 6
    camera = open_camera(path, start_frame=4)
    stamps = [frame.stamp_ns for frame in frames_of(camera)]
    assert stamps == [200_000_000, 250_000_000]
    counts = camera.statistics
    assert (counts.received, counts.delivered, counts.dropped) == (2, 2, 0)
    assert counts.rate_hz == pytest.approx(20.0)
    assert counts.last_gap_s == pytest.approx(0.05)
    assert counts.clock_domain is ClockDomain.RECORDING
    with pytest.raises(ConfigError, match="there is no frame 6"):
        open_camera(path, start_frame=6)


def test_a_bag_and_where_to_start(tmp_path):
    episode = Episode()
    path = str(episode.write(tmp_path / "bag"))
    assert [same(a, b) for a, b in zip(frames_of(open_camera(path)), episode.frames, strict=True)] == [
        True
    ] * 4
    (last,) = frames_of(open_camera(path, start_frame=3))
    assert same(last, episode.frames[3])
    with pytest.raises(ConfigError, match="ends at frame 3; there is no frame 4"):
        open_camera(path, start_frame=4)


def test_every_recording_counts(tmp_path):
    write_picture(tmp_path / "scene.png", table())
    for source in (tmp_path / "scene.png", clip(tmp_path / "clip.mp4"), Episode().write(tmp_path / "bag")):
        camera = open_camera(str(source))
        assert isinstance(camera, CountingCamera)
        assert camera.statistics.clock_domain is ClockDomain.NONE
        camera.close()
        camera.close()
        assert camera.read(0.1) is None


@pytest.mark.parametrize("source", ["nothing.mp4", "realsens", "", "no/such/folder/x.png"])
def test_what_does_not_exist(source):
    with pytest.raises(ConfigError, match=r"does not exist; give the path of a picture.*realsense:SERIAL"):
        open_camera(source)


def test_a_directory_that_is_no_bag(tmp_path):
    with pytest.raises(BagError, match=r"no \.mcap"):
        open_camera(str(tmp_path))


def test_a_bags_file_instead_of_its_directory(tmp_path):
    path = Episode().write(tmp_path / "bag")
    with pytest.raises(ConfigError, match="give the rosbag2 directory around it"):
        open_camera(str(path / "bag_0.mcap"))


def test_first_frames_that_cannot_be(tmp_path):
    write_picture(tmp_path / "scene.png", table())
    with pytest.raises(ConfigError, match="one picture, frame 0; there is no frame 2"):
        open_camera(str(tmp_path / "scene.png"), start_frame=2)
    with pytest.raises(ConfigError, match="must be 0 or more, not -1"):
        open_camera(str(tmp_path / "scene.png"), start_frame=-1)
    with pytest.raises(ConfigError, match="starts at its newest frame"):
        open_camera("realsense", start_frame=3)


def test_serial_numbers():
    assert is_live("realsense")
    assert is_live("realsense:0123")
    assert not is_live("./realsense")
    with pytest.raises(ConfigError, match="lacks the serial number"):
        open_camera("realsense:")
    with pytest.raises(ConfigError, match="names camera 111, but the settings camera 222"):
        open_camera("realsense:111", realsense=RealSenseConfig(serial="222"))
    with pytest.raises(ConfigError, match="letters and digits"):
        open_camera("realsense:../1")
