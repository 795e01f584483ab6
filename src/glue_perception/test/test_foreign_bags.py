"""Bags that other tools wrote with the standard topics: bgr8, padding, several files, no chunks, lz4."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from episodes import FRAME_NS, T0_NS, Episode, K
from mcap.writer import CompressionType, IndexType, Writer

from glue_perception.bags import mcap_file, topics
from glue_perception.bags.camera_messages import camera_info_message, image_message
from glue_perception.bags.message_types import definition, message_class, typestore
from glue_perception.bags.messages import header
from glue_perception.bags.reader import BagReader
from glue_perception.bags.robot_messages import joint_state_message, pose_message
from glue_perception.errors import BagError
from glue_perception.types import CameraFrame


class ForeignBag:
    """Writes messages with the mcap package's own writer, one file per call of `file`."""

    def __init__(self, path: Path, **options: object) -> None:
        path.mkdir()
        self.path = path
        self.options = options
        self.names: list[str] = []

    def file(self, messages: list[tuple[str, int, object]]) -> None:
        name = f"{self.path.name}_{len(self.names)}.mcap"
        self.names.append(name)
        with (self.path / name).open("wb") as stream:
            writer = Writer(stream, **self.options)
            writer.start("ros2", "libmcap")
            channels: dict[str, int] = {}
            for topic, log_ns, message in messages:
                kind = topics.MESSAGE_TYPES[topic]
                if topic not in channels:
                    schema = writer.register_schema(kind, "ros2msg", definition(kind).encode())
                    channels[topic] = writer.register_channel(topic, "cdr", schema)
                data = bytes(typestore().serialize_cdr(message, kind))
                writer.add_message(channels[topic], log_ns, data, log_ns)
            writer.finish()
        information = {
            "storage_identifier": "mcap",
            "relative_file_paths": self.names,
            "compression_mode": "",
        }
        text = yaml.safe_dump({"rosbag2_bagfile_information": information})
        (self.path / "metadata.yaml").write_text(text)


def images(episode: Episode) -> list[tuple[str, int, object]]:
    """camera_info after its image, as drivers publish them."""
    result: list[tuple[str, int, object]] = []
    for frame in episode.frames:
        result.append((topics.IMAGE, frame.stamp_ns + 5, image_message(frame)))
        result.append((topics.CAMERA_INFO, frame.stamp_ns + 6, camera_info_message(frame)))
    return result


@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.ZSTD, "chunk_size": 100},
        {"compression": CompressionType.NONE, "enable_crcs": False},
        {"use_chunking": False},
        {
            "index_types": IndexType.NONE,
            "use_statistics": False,
            "repeat_channels": False,
            "repeat_schemas": False,
        },
    ],
    ids=["lz4", "many chunks", "plain", "no chunks", "no index"],
)
def test_however_the_file_is_laid_out(tmp_path, options):
    episode = Episode()
    foreign = ForeignBag(tmp_path / "bag", **options)
    foreign.file(images(episode))
    with BagReader(tmp_path / "bag") as bag:
        frames = list(bag.frames())
        assert bag.summary().message_counts == {topics.IMAGE: 4, topics.CAMERA_INFO: 4}
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(frames, episode.frames, strict=True))
    assert all(np.array_equal(f.intrinsics, K) for f in frames)


def test_messages_are_ordered_by_log_time(tmp_path):
    messages = images(Episode(frames=20))
    rng = np.random.default_rng(0)
    foreign = ForeignBag(tmp_path / "bag", chunk_size=3000)
    foreign.file([messages[k] for k in rng.permutation(len(messages))])
    with BagReader(tmp_path / "bag") as bag:
        stamps = [f.stamp_ns for f in bag.frames()]
    assert stamps == sorted(stamps)


def test_split_bags_are_read_in_order(tmp_path):
    messages = images(Episode(frames=6))
    foreign = ForeignBag(tmp_path / "bag")
    for part in (messages[:4], messages[4:10], messages[10:]):
        foreign.file(part)
    with BagReader(tmp_path / "bag") as bag:
        assert [f.stamp_ns for f in bag.frames()] == [T0_NS + k * FRAME_NS for k in range(6)]


def test_bgr8_and_padded_rows(tmp_path):
    frame = Episode(frames=1).frames[0]
    message = image_message(frame)
    message.encoding = "bgr8"
    message.step = 3 * frame.width_px + 5
    rows = np.full((frame.height_px, message.step), 77, np.uint8)
    rows[:, : 3 * frame.width_px] = frame.rgb[..., ::-1].reshape(frame.height_px, -1)
    message.data = rows.reshape(-1)
    foreign = ForeignBag(tmp_path / "bag")
    foreign.file([(topics.CAMERA_INFO, 1, camera_info_message(frame)), (topics.IMAGE, 2, message)])
    with BagReader(tmp_path / "bag") as bag:
        [read] = bag.frames()
    assert np.array_equal(read.rgb, frame.rgb)


def test_depth_in_millimetres_after_its_image(tmp_path):
    frame = Episode(frames=1).frames[0]
    shape = (frame.height_px, frame.width_px)
    millimetres = np.arange(shape[0] * shape[1], dtype="<u2").reshape(shape)
    depth = message_class("sensor_msgs/msg/Image")(
        header(frame.stamp_ns, "c"), *shape, "16UC1", 0, 2 * shape[1], millimetres.reshape(-1).view(np.uint8)
    )
    foreign = ForeignBag(tmp_path / "bag")
    foreign.file([*images(Episode(frames=1)), (topics.ALIGNED_DEPTH, frame.stamp_ns + 9, depth)])
    with BagReader(tmp_path / "bag") as bag:
        [read] = bag.frames()
    assert read.depth_m is not None
    np.testing.assert_allclose(read.depth_m, millimetres * 1e-3, rtol=1e-6)


def test_robot_states_from_the_standard_topics(tmp_path):
    """Names in any order, other joints between; states without a fresh pose are left out."""
    episode = Episode(frames=3)
    messages: list[tuple[str, int, object]] = []
    for k, state in enumerate(episode.states):
        joints = joint_state_message(state)
        order = np.random.default_rng(k).permutation(len(joints.name))
        joints.name = [joints.name[i] for i in order]
        joints.position, joints.velocity = joints.position[order], joints.velocity[order]
        if k != 1:
            messages.append(
                (topics.CURRENT_POSE, state.stamp_ns, pose_message(state.stamp_ns, state.T_base_ee))
            )
        messages.append((topics.JOINT_STATES, state.stamp_ns, joints))
    messages[-1][2].header.stamp.sec += 1  # a second after its pose
    foreign = ForeignBag(tmp_path / "bag")
    foreign.file(messages)
    with BagReader(tmp_path / "bag") as bag:
        states = list(bag.robot_states())
    assert [s.stamp_ns for s in states] == episode.stamps[:2]
    for read, state in zip(states, episode.states, strict=False):
        assert np.array_equal(read.joint_position_rad, state.joint_position_rad)
        assert np.array_equal(read.joint_velocity_rad_s, state.joint_velocity_rad_s)
        assert read.gripper_width_m == pytest.approx(state.gripper_width_m)
    np.testing.assert_allclose(states[0].T_base_ee, episode.states[0].T_base_ee, atol=1e-12)
    np.testing.assert_allclose(states[1].T_base_ee, episode.states[0].T_base_ee, atol=1e-12)


def test_images_without_camera_info(tmp_path):
    foreign = ForeignBag(tmp_path / "bag")
    frame = CameraFrame(T0_NS, "c", np.zeros((4, 4, 3), np.uint8), K)
    foreign.file([(topics.IMAGE, 1, image_message(frame))])
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError, match="record the camera_info"):
        next(bag.frames())


def test_chunks_that_all_overlap_are_refused_before_memory_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap_file, "MAX_WAITING_BYTES", 20_000)
    messages = images(Episode(frames=30))
    first_and_last = [
        (topic, T0_NS if k % 2 else T0_NS + 10**9, m) for k, (topic, _, m) in enumerate(messages)
    ]
    foreign = ForeignBag(tmp_path / "bag", chunk_size=3000)
    foreign.file(first_and_last)
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError, match="overlap"):
        list(bag.frames())


def test_unknown_compression_is_named(tmp_path):
    foreign = ForeignBag(tmp_path / "bag", compression=CompressionType.LZ4)
    foreign.file(images(Episode()))
    file = tmp_path / "bag" / "bag_0.mcap"
    file.write_bytes(file.read_bytes().replace(b"\x03\0\0\0lz4", b"\x03\0\0\0brx"))
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError, match="'brx', but only zstd and lz4"):
        list(bag.frames())
