"""Clips and pictures as cameras: stamps from the file, clear errors for what cannot be read."""

import numpy as np
import pytest
from scenes import table

from glue_perception.cameras.clip import ClipCamera
from glue_perception.cameras.image import read_image
from glue_perception.cameras.intrinsics import intrinsics_from_field_of_view
from glue_perception.errors import ConfigError, HardwareError, InvalidValueError
from glue_perception.picture import write_picture
from glue_perception.video import VideoWriter


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "new folder" / "clip.mp4"
    with VideoWriter(path, 25.0) as video:
        for k in range(10):
            video.write(np.full((121, 161, 3), 20 * k, np.uint8))
    return path


def test_gives_every_frame_with_the_files_time(clip) -> None:
    camera = ClipCamera(clip, start_ns=7_000)
    frames = list(camera.frames())
    assert camera.num_frames == 10
    assert camera.rate_hz == 25.0
    assert [f.stamp_ns for f in frames] == [7_000 + 40_000_000 * k for k in range(10)]
    assert frames[0].rgb.shape == (120, 160, 3), "odd sizes are cut to even ones"
    assert [round(float(f.rgb.mean()) / 20) for f in frames] == list(range(10))
    assert camera.read() is None
    camera.close()
    camera.close()
    assert camera.read() is None


def test_starts_at_a_frame(clip) -> None:
    frame = ClipCamera(clip, start_frame=4).read()
    assert frame.stamp_ns == 160_000_000
    assert round(float(frame.rgb.mean()) / 20) == 4
    with pytest.raises(ConfigError, match="ends at frame 9; there is no frame 50"):
        ClipCamera(clip, start_frame=50)


def test_refuses_what_is_no_clip(tmp_path) -> None:
    with pytest.raises(ConfigError, match="not a file"):
        ClipCamera(tmp_path / "none.mp4")
    with pytest.raises(ConfigError, match="not a file"):
        ClipCamera(tmp_path)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(HardwareError, match="cannot be read as a video"):
        ClipCamera(broken)


def test_pictures_survive_a_round_trip(tmp_path) -> None:
    image = table()
    write_picture(tmp_path / "a" / "picture.png", image)
    frame = read_image(tmp_path / "a" / "picture.png", stamp_ns=3)
    assert np.array_equal(frame.rgb, image)
    assert frame.stamp_ns == 3
    with pytest.raises(ConfigError, match="not a file"):
        read_image(tmp_path / "none.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises(ConfigError, match="cannot be read as a picture"):
        read_image(tmp_path / "broken.png")


def test_writers_refuse(tmp_path) -> None:
    with pytest.raises(ConfigError, match="unknown picture format"):
        write_picture(tmp_path / "picture.abc", table())
    with pytest.raises(ConfigError, match="is a folder"):
        write_picture(tmp_path, table())
    with pytest.raises(ConfigError, match="must end in"):
        VideoWriter(tmp_path / "video.avi", 30.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        VideoWriter(tmp_path / "file" / "video.mp4", 30.0)
    with VideoWriter(tmp_path / "video.mp4", 30.0) as video:
        video.write(table())
        with pytest.raises(InvalidValueError, match="cannot follow"):
            video.write(table()[:100])


def test_intrinsics_from_a_field_of_view() -> None:
    K = intrinsics_from_field_of_view(640, 480, 90.0)
    assert K[0, 0] == pytest.approx(320.0)
    assert K[0, 2] == 319.5
    with pytest.raises(ConfigError, match="179"):
        intrinsics_from_field_of_view(640, 480, 180.0)
