"""Recordings that are cut off, change in the middle or hold odd frames: given as far as they go, not in silence."""

import subprocess
import warnings

import imageio_ffmpeg
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from stream_faults import frames_of

from glue_perception.bags import topics
from glue_perception.bags.camera_messages import RGB_CHANNELS
from glue_perception.bags.mcap_writer import McapWriter, Stream
from glue_perception.bags.message_types import definition, message_class, typestore
from glue_perception.bags.messages import header
from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.cameras.bag import BagCamera
from glue_perception.cameras.clip import ClipCamera, TruncatedClipWarning
from glue_perception.cameras.sources import open_camera
from glue_perception.errors import BagError, HardwareError, InvalidValueError
from glue_perception.types import CameraFrame

K = np.array([[60.0, 0, 15.5], [0, 60, 11.5], [0, 0, 1]])


def encoded(path, count=60, *options):
    """A clip of noise, which no codec makes small."""
    rng = np.random.default_rng(0)
    frames = [(rng.integers(0, 60, (48, 64, 3)) + 2 * k).astype(np.uint8).tobytes() for k in range(count)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", "64x48", "-r", "25", "-i", "-", *options, "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, input=b"".join(frames), check=True)
    return path


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm", "clip.avi"])
def test_whole_clips_end_without_a_word(tmp_path, name):
    camera = ClipCamera(encoded(tmp_path / name))
    assert len(frames_of(camera)) == camera.num_frames == 60
    assert camera.read() is None


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm"])
def test_a_clip_cut_off_gives_what_there_is_and_warns_once(tmp_path, name):
    camera = ClipCamera(cut(encoded(tmp_path / name), 0.5))
    frames = []
    with pytest.warns(TruncatedClipWarning, match=r"states 60 frames, but ended after \d\d; it is cut off"):
        frames = frames_of(camera)
    assert 15 <= len(frames) < 50
    assert camera.statistics.delivered == len(frames)
    assert camera.read() is None


def test_clips_of_which_nothing_is_left(tmp_path):
    with pytest.raises(HardwareError, match="cannot be read as a video; is it complete"):
        open_camera(str(cut(encoded(tmp_path / "clip.mp4"), 0.5)))
    camera = open_camera(str(cut(encoded(tmp_path / "clip.webm"), 0.05)))
    with pytest.raises(HardwareError, match="no frame that can be decoded"):
        camera.read(0.1)
    camera.close()


def bag(path, images, name="bag_0.mcap"):
    """A bag of (encoding, pixels, K, order); in the order `image first` the camera_info follows its image."""
    path.mkdir()
    writer = McapWriter(path / name, "test")
    channels = {
        topic: writer.add_channel(
            topic, topics.MESSAGE_TYPES[topic], definition(topics.MESSAGE_TYPES[topic]), {}
        )
        for topic in (topics.CAMERA_INFO, topics.IMAGE)
    }

    def add(topic, message, at):
        data = typestore().serialize_cdr(message, topics.MESSAGE_TYPES[topic])
        writer.add_message(Stream.SMALL, channels[topic], at, at, data)

    for index, (encoding, pixels, intrinsics, image_first) in enumerate(images):
        stamp = 1_000_000_000 + index * 33_000_000
        height, width = pixels.shape[:2]
        step = pixels.nbytes // height
        image = message_class("sensor_msgs/msg/Image")(
            header(stamp, "camera"), height, width, encoding, 0, step, pixels.reshape(-1)
        )
        roi = message_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
        info = message_class("sensor_msgs/msg/CameraInfo")(
            header(stamp, "camera"), height, width, "", np.zeros(0), intrinsics.reshape(9), np.zeros(9),
            np.zeros(12), 0, 0, roi,
        )  # fmt: skip
        pair = [(topics.CAMERA_INFO, info), (topics.IMAGE, image)]
        for k, (topic, message) in enumerate(reversed(pair) if image_first else pair):
            add(topic, message, stamp + k)
    writer.close()
    return path


@pytest.fixture(autouse=True)
def bags_without_metadata():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedBagWarning)
        yield


def colors(seed=0, size=(24, 32), channels=3):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)


@pytest.mark.parametrize("image_first", [False, True], ids=["info first", "image first"])
def test_a_resolution_that_changes_brings_its_intrinsics(tmp_path, image_first):
    half = K * np.array([[0.5], [0.5], [1.0]])
    images = [("rgb8", colors(k), K, image_first) for k in range(3)]
    images += [("rgb8", colors(k, (12, 16)), half, image_first) for k in range(3, 6)]
    frames = frames_of(BagCamera(bag(tmp_path / "bag", images)))
    assert [frame.width_px for frame in frames] == [32, 32, 32, 16, 16, 16]
    assert [frame.intrinsics[0, 0] for frame in frames] == [60.0] * 3 + [30.0] * 3


@pytest.mark.parametrize("encoding", RGB_CHANNELS)
def test_encodings(tmp_path, encoding):
    channels, order = RGB_CHANNELS[encoding]
    pixels = colors(1, channels=channels)
    (frame,) = frames_of(BagCamera(bag(tmp_path / "bag", [(encoding, pixels, K, False)])))
    for place in range(3):
        assert np.array_equal(frame.rgb[..., place], pixels[..., order[place]])
    assert frame.rgb.flags.c_contiguous


def test_encodings_are_what_they_are_called(tmp_path):
    red_in_bgra = np.zeros((24, 32, 4), np.uint8)
    red_in_bgra[..., 2] = 200
    (frame,) = frames_of(BagCamera(bag(tmp_path / "bag", [("bgra8", red_in_bgra, K, False)])))
    assert frame.rgb[0, 0].tolist() == [200, 0, 0]


def bad_frames(path):
    """Two sound frames around those that are not: NaN and zero intrinsics, and depth in place of colour."""
    return bag(
        path,
        [
            ("rgb8", colors(0), K, False),
            ("rgb8", colors(1), K * np.nan, False),
            ("rgb8", colors(2), K * 0.0, False),
            ("16UC1", colors(3, channels=2), K, False),
            ("rgb8", colors(4), K, False),
        ],
    )


def test_a_camera_leaves_bad_frames_out_and_counts_them(tmp_path):
    camera = BagCamera(bad_frames(tmp_path / "bag"))
    frames = frames_of(camera)
    assert [np.array_equal(frame.rgb, colors(k)) for frame, k in zip(frames, (0, 4), strict=True)] == [
        True,
        True,
    ]
    assert camera.statistics.bad == 3
    assert camera.statistics.delivered == 2


def test_a_reader_refuses_them(tmp_path):
    with BagReader(bad_frames(tmp_path / "bag")) as reader:
        frames = reader.frames()
        next(frames)
        with pytest.raises(BagError, match=r"image_raw: CameraFrame.intrinsics holds NaN"):
            next(frames)


def test_nothing_but_bad_frames_is_an_error_each_time(tmp_path):
    camera = BagCamera(bag(tmp_path / "bag", [("rgb8", colors(), K * np.nan, False)] * 3))
    for _ in range(2):
        with pytest.raises(BagError, match=r"none of the bag's frames is usable; .* NaN"):
            camera.read(0.1)
    camera.close()
    with pytest.raises(BagError, match="none of the bag's frames is usable"):
        BagCamera(tmp_path / "bag", start_frame=1)


def test_an_unfinished_bag_that_was_cut_off_gives_what_there_is(tmp_path):
    path = bag(tmp_path / "bag", [("rgb8", colors(k, (96, 128)), K, False) for k in range(40)])
    cut(path / "bag_0.mcap", 0.5)
    frames = frames_of(BagCamera(path))
    assert all(np.array_equal(frame.rgb, colors(k, (96, 128))) for k, frame in enumerate(frames))
    assert len(frames) < 40


def test_damage_is_an_error_at_every_read_after_it(tmp_path):
    path = bag(tmp_path / "bag", [("rgb8", colors(k, (240, 320)), K, False) for k in range(40)])
    file = path / "bag_0.mcap"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    file.write_bytes(data)
    camera = BagCamera(path)
    with pytest.raises(BagError) as first:
        frames_of(camera)
    with pytest.raises(BagError) as second:
        camera.read(0.1)
    assert str(first.value) == str(second.value)
    camera.close()
    assert camera.read(0.1) is None


def test_random_damage_gives_frames_or_a_bag_error(tmp_path):
    """Uncompressed and without checksums, so that damage reaches the images and their descriptions."""
    path = bag(tmp_path / "bag", [("rgb8", colors(k, (6, 8)), K, False) for k in range(6)])
    file = path / "bag_0.mcap"
    original = uncompressed(file)
    rng = np.random.default_rng(5)
    ends = set()
    for _ in range(150):
        data = bytearray(original)
        for place in rng.integers(0, len(data), rng.choice([1, 4, 32])):
            data[place] = rng.integers(0, 256)
        file.write_bytes(data)
        camera = None
        try:
            camera = BagCamera(path)
            ends.add(("end", len(frames_of(camera)) < 6, camera.statistics.bad > 0))
        except BagError:
            ends.add("error")
        finally:
            if camera is not None:
                camera.close()
    assert {"error", ("end", False, False), ("end", True, True)} <= ends


def uncompressed(file):
    writer_file = file.with_suffix(".plain")
    with file.open("rb") as stream, writer_file.open("wb") as out:
        writer = Writer(out, compression=CompressionType.NONE, enable_crcs=False)
        writer.start("ros2", "test")
        channels = {}
        for schema, channel, message in make_reader(stream).iter_messages():
            if channel.topic not in channels:
                schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.topic] = writer.register_channel(channel.topic, "cdr", schema_id)
            writer.add_message(channels[channel.topic], message.log_time, message.data, message.publish_time)
        writer.finish()
    data = writer_file.read_bytes()
    writer_file.unlink()
    return data


@pytest.mark.parametrize(
    ("intrinsics", "words"),
    [
        (K * np.nan, r"CameraFrame\.intrinsics holds NaN"),
        (K + np.inf, r"CameraFrame\.intrinsics holds NaN or infinite"),
        (K * 0.0, r"CameraFrame\.intrinsics must have positive focal lengths"),
        (K[:2], r"CameraFrame\.intrinsics must be float64\[3 3\], but its shape is \[2, 3\]"),
    ],
)
def test_frames_refuse_impossible_intrinsics(intrinsics, words):
    with pytest.raises(InvalidValueError, match=words), np.errstate(invalid="ignore"):
        CameraFrame(0, "camera", colors(), intrinsics)
