"""What is not a sound bag is a BagError that says what was found; nothing else ever comes out."""

import random
import resource
import shutil
import struct
import tracemalloc
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from episodes import ITERATORS, Episode, read_all
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from glue_perception.bags import messages, robot_messages, topics
from glue_perception.bags.mcap_writer import McapWriter, Stream
from glue_perception.bags.message_types import DEFINITIONS_DIR, definition, message_class, typestore
from glue_perception.bags.messages import header
from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError
from glue_perception.types import ActionChunk, RobotState


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return Episode().write(tmp_path / "bag")


def edit_metadata(bag: Path, **changes: object) -> None:
    path = bag / "metadata.yaml"
    data = yaml.safe_load(path.read_text())
    data["rosbag2_bagfile_information"].update(changes)
    path.write_text(yaml.safe_dump(data))


def refusal(path: Path) -> str:
    with pytest.raises(BagError) as error, BagReader(path) as bag:
        read_all(bag)
    return str(error.value)


def test_no_such_path(tmp_path):
    assert "no bag at" in refusal(tmp_path / "nothing")


def test_a_file_instead_of_a_directory(bag):
    assert "give the bag's directory" in refusal(bag / "bag_0.mcap")


def test_an_empty_directory(tmp_path):
    assert "no .mcap" in refusal(tmp_path)


@pytest.mark.parametrize("storage", ["sqlite3", "encrypted", None, 7])
def test_other_storage(bag, storage):
    edit_metadata(bag, storage_identifier=storage)
    assert "ros2 bag convert" in refusal(bag)


def test_sqlite_without_metadata(tmp_path):
    (tmp_path / "a_0.db3").write_bytes(b"SQLite format 3\0")
    assert "a_0.db3; convert it" in refusal(tmp_path)


def test_rosbag2_compression(bag):
    edit_metadata(bag, compression_mode="file", compression_format="zstd")
    assert "compressed by rosbag2" in refusal(bag)


@pytest.mark.parametrize("name", ["../bag_0.mcap", "/etc/passwd", "a/b.mcap", "..", ""])
def test_files_outside_the_bag(bag, name):
    edit_metadata(bag, relative_file_paths=[name])
    refusal(bag)


def test_a_missing_file(bag):
    edit_metadata(bag, relative_file_paths=["bag_0.mcap", "bag_1.mcap"])
    assert "lacks its file bag_1.mcap" in refusal(bag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "- 1",
        "a: b",
        "rosbag2_bagfile_information: 3",
        "\x00",
        "&a [*a, *a]",
        "[" * 9_000,
        "[" * 500_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_bad_metadata_yaml(bag, text):
    (bag / "metadata.yaml").write_text(text)
    assert "metadata.yaml" in refusal(bag)


def test_yaml_that_grows_without_bound(bag):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
    lines += [
        "rosbag2_bagfile_information:",
        "  storage_identifier: mcap",
        "  relative_file_paths: [bag_0.mcap]",
    ]
    lines += ["  custom_data: {bomb: *a11}"]
    (bag / "metadata.yaml").write_text("\n".join(lines))
    assert "text is expected" in refusal(bag)


def test_an_empty_mcap(bag):
    (bag / "bag_0.mcap").write_bytes(b"")
    assert "is empty" in refusal(bag)


def test_not_an_mcap(bag):
    (bag / "bag_0.mcap").write_bytes(b"SQLite format 3\0" * 10)
    assert "not an MCAP" in refusal(bag)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(bag, share):
    file = bag / "bag_0.mcap"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert "truncated" in refusal(bag)


def test_a_bag_without_images(tmp_path):
    assert "holds nothing on /camera/camera/color/image_raw" in refusal(episode_of_a_target(tmp_path / "bag"))


def test_topics_that_may_be_absent_give_nothing(tmp_path):
    with BagReader(episode_of_a_target(tmp_path / "bag")) as bag:
        assert not list(bag.chunks())
        assert not list(bag.key_patches())
        assert not list(bag.demonstrated_actions())
        with pytest.raises(BagError, match="was the arm recorded"):
            next(bag.robot_states())


def episode_of_a_target(path: Path) -> Path:
    with BagWriter(path, {}) as bag:
        bag.target(5, np.eye(4))
    return path


def forged(
    path: Path, topic: str, data: bytes, message_type: str | None = None, text: str | None = None
) -> Path:
    """An MCAP directory with one message of our making."""
    path.mkdir()
    message_type = message_type or topics.MESSAGE_TYPES[topic]
    writer = McapWriter(path / "a.mcap", "test")
    if topic == topics.IMAGE:
        info = message_class("sensor_msgs/msg/CameraInfo")
        K = [600.0, 0, 1, 0, 600, 1, 0, 0, 1]
        roi = message_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
        message = info(
            header(1, "c"), 2, 2, "", np.zeros(0), np.array(K), np.zeros(9), np.zeros(12), 0, 0, roi
        )
        kind = "sensor_msgs/msg/CameraInfo"
        channel = writer.add_channel(topics.CAMERA_INFO, kind, definition(kind), {})
        writer.add_message(Stream.SMALL, channel, 1, 1, typestore().serialize_cdr(message, kind))
    channel = writer.add_channel(topic, message_type, text or definition(message_type), {})
    writer.add_message(Stream.SMALL, channel, 1, 1, data)
    writer.close()
    return path


def read_forged(path: Path, what: str) -> str:
    with pytest.raises(BagError) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedBagWarning)
        with BagReader(path) as bag:
            list(getattr(bag, what)())
    return str(error.value)


def image_bytes(height: int, width: int, encoding: str, step: int, size: int) -> bytes:
    message = message_class("sensor_msgs/msg/Image")(
        header(1, "c"), height, width, encoding, 0, step, np.zeros(size, np.uint8)
    )
    return bytes(typestore().serialize_cdr(message, "sensor_msgs/msg/Image"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((2, 2, "rgb8", 6, 11), "needs 12 bytes, but holds 11"),
        ((2, 2, "rgb8", 5, 10), "needs 12 bytes"),
        ((2**31, 2**31, "rgb8", 6, 12), "pixels"),
        ((0, 2, "rgb8", 6, 0), "pixels"),
        ((2, 2, "yuv422", 4, 8), "encoding is 'yuv422'"),
    ],
)
def test_images_that_contradict_themselves(tmp_path, fields, words):
    assert words in read_forged(forged(tmp_path / "bag", topics.IMAGE, image_bytes(*fields)), "frames")


def test_a_forged_length_allocates_nothing(tmp_path):
    data = bytearray(image_bytes(2, 2, "rgb8", 6, 12))
    data[-16:-12] = struct.pack("<I", 2**32 - 1)
    path = forged(tmp_path / "bag", topics.IMAGE, bytes(data))
    tracemalloc.start()
    try:
        assert "cannot be decoded" in read_forged(path, "frames")
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_another_type_on_our_topic(tmp_path):
    path = forged(tmp_path / "bag", topics.ACTION_CHUNK, b"\0\1\0\0", "std_msgs/msg/String")
    assert "holds std_msgs/msg/String" in read_forged(path, "chunks")


def test_another_definition_of_our_type(tmp_path):
    text = definition("glue_msgs/msg/ActionChunk").replace("float64 dt", "float32 dt")
    path = forged(tmp_path / "bag", topics.ACTION_CHUNK, b"\0\1\0\0", text=text)
    assert "float32 dt" in read_forged(path, "chunks")


def test_a_bag_from_before_a_field_was_added_is_read(tmp_path):
    kind = "glue_msgs/msg/ActionChunk"
    store = get_typestore(Stores.ROS2_JAZZY)
    for file in sorted(DEFINITIONS_DIR.glob("Action*.msg"), reverse=True):
        lines = file.read_text(encoding="utf-8").splitlines()
        before = "\n".join(line for line in lines if not line.startswith("uint32 frozen"))
        store.register(get_types_from_msg(before, f"glue_msgs/msg/{file.stem}"))
    chunk = ActionChunk(5, 0.1, np.full((2, 3), 0.4), np.tile([1.0, 0, 0, 0, 1, 0], (2, 1)), np.full(2, 0.04))
    new = messages.action_chunk_message(chunk)
    old = store.types[kind](header=new.header, dt=new.dt, targets=new.targets)
    text = store.generate_msgdef(kind, ros_version=2)[0]
    assert "frozen" not in text
    path = forged(tmp_path / "bag", topics.ACTION_CHUNK, bytes(store.serialize_cdr(old, kind)), text=text)
    with pytest.warns(UnfinishedBagWarning), BagReader(path) as bag:
        (read,) = bag.chunks()
    np.testing.assert_array_equal(read.position_m, chunk.position_m)
    np.testing.assert_array_equal(read.gripper_width_m, chunk.gripper_width_m)
    assert (read.stamp_ns, read.frozen) == (5, 0)


def test_a_bag_from_before_wrenches_were_recorded_reports_none(tmp_path):
    kind = "glue_msgs/msg/RobotState"
    lines = (DEFINITIONS_DIR / "RobotState.msg").read_text(encoding="utf-8").splitlines()
    before = "\n".join(line for line in lines if "external_wrench" not in line)
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(before, kind))
    state = RobotState(5, np.arange(7.0), np.ones(7), np.eye(4), 0.04, np.arange(6.0))
    new = robot_messages.robot_state_message(state)
    fields = {name: getattr(new, name) for name, _ in store.fielddefs[kind][1]}
    old, text = store.types[kind](**fields), store.generate_msgdef(kind, ros_version=2)[0]
    path = forged(tmp_path / "bag", topics.ROBOT_STATE, bytes(store.serialize_cdr(old, kind)), text=text)
    with pytest.warns(UnfinishedBagWarning), BagReader(path) as bag:
        (read,) = bag.robot_states()
    assert read.external_wrench is None
    np.testing.assert_array_equal(read.joint_position_rad, state.joint_position_rad)
    assert (read.stamp_ns, read.gripper_width_m) == (5, 0.04)


@pytest.mark.parametrize("wrench", [np.zeros(5), np.full(6, np.nan)])
def test_a_wrench_that_is_none_is_refused(tmp_path, wrench):
    message = robot_messages.robot_state_message(RobotState(5, np.zeros(7), np.zeros(7), np.eye(4), 0.04))
    message.external_wrench = wrench
    data = bytes(typestore().serialize_cdr(message, "glue_msgs/msg/RobotState"))
    assert "external_wrench" in read_forged(
        forged(tmp_path / "bag", topics.ROBOT_STATE, data), "robot_states"
    )


def outcome(path: Path) -> str:
    """Read everything of a possibly damaged bag; any error but BagError escapes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnfinishedBagWarning)
            with BagReader(path) as bag:
                bag.summary()
                for name in ITERATORS:
                    with suppress(BagError):
                        list(getattr(bag, name)())
        return "read"
    except BagError as error:
        assert str(error)
        return "refused"


@pytest.mark.parametrize("checksums", ["kept", "cleared"])
def test_random_damage(tmp_path, checksums):
    """Flipped, cut, repeated and overwritten bytes; without checksums the damage reaches the decoders."""
    source = Episode(frames=2, size=(4, 5)).write(tmp_path / "source")
    original = (source / "source_0.mcap").read_bytes()
    if checksums == "cleared":
        original = without_checksums_and_compression(source, tmp_path)
    rng = random.Random(1)
    target = tmp_path / "damaged"
    shutil.copytree(source, target)
    seen = set()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(300):
        data = bytearray(original)
        for _ in range(rng.choice([1, 1, 2, 8, 64])):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        if k % 10 == 0:
            data = data[: rng.randrange(len(data))]
        if k % 10 == 1:
            at = rng.randrange(len(data))
            data[at : at + 8] = struct.pack("<Q", rng.choice([2**63, 2**40, 2**32 - 1, 2**31]))
        (target / "source_0.mcap").write_bytes(data)
        seen.add(outcome(target))
    assert "refused" in seen
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 300_000


def without_checksums_and_compression(source: Path, folder: Path) -> bytes:
    """The same messages in an uncompressed, unchecked file, so that damage gets past the chunk."""
    from mcap.reader import make_reader
    from mcap.writer import CompressionType, Writer

    path = folder / "plain.mcap"
    with (source / "source_0.mcap").open("rb") as stream, path.open("wb") as out:
        writer = Writer(out, compression=CompressionType.NONE, enable_crcs=False)
        writer.start("ros2", "test")
        channels: dict[str, int] = {}
        for schema, channel, message in make_reader(stream).iter_messages():
            if channel.topic not in channels:
                schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.topic] = writer.register_channel(channel.topic, "cdr", schema_id)
            writer.add_message(
                channels[channel.topic],
                message.log_time,
                message.data,
                message.publish_time,
                message.sequence,
            )
        writer.finish()
    return path.read_bytes()


def test_random_metadata_damage(tmp_path):
    bag = Episode(frames=1, size=(4, 5)).write(tmp_path / "bag")
    original = (bag / "metadata.yaml").read_bytes()
    rng = random.Random(2)
    for _ in range(60):
        data = bytearray(original)
        for _ in range(rng.choice([1, 4, 32])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (bag / "metadata.yaml").write_bytes(data)
        outcome(bag)
