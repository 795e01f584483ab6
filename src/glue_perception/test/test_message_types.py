"""The definitions of glue_msgs have one source, and messages are those that ROS 2 Jazzy would make."""

import re
from pathlib import Path

import pytest

from glue_perception.bags import topics
from glue_perception.bags.message_types import DEFINITIONS_DIR, decoder_for, definition, type_hash, typestore
from glue_perception.errors import BagError

GLUE_MSGS = Path(__file__).parents[2] / "glue_msgs"


def test_the_package_carries_the_definitions_of_glue_msgs():
    source = {f.name: f.read_bytes() for f in (GLUE_MSGS / "msg").glob("*.msg")}
    carried = {f.name: f.read_bytes() for f in DEFINITIONS_DIR.glob("*.msg")}
    assert source
    assert carried == source


def test_cmake_builds_every_definition():
    listed = set(re.findall(r'"msg/(\w+\.msg)"', (GLUE_MSGS / "CMakeLists.txt").read_text()))
    assert listed == {f.name for f in (GLUE_MSGS / "msg").glob("*.msg")}


@pytest.mark.parametrize("message_type", sorted(set(topics.MESSAGE_TYPES.values())))
def test_definitions_are_complete(message_type):
    """Every type that a definition names is defined in it."""
    text = definition(message_type)
    named = set(re.findall(r"^(\w+/\w+)(?:\[\d*\])? \w+$", text, re.MULTILINE))
    assert named <= set(re.findall(r"^MSG: (\w+/\w+)$", text, re.MULTILINE))
    assert message_type in typestore().types


def test_type_hash_is_that_of_jazzy():
    expected = "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47"
    assert type_hash("sensor_msgs/msg/Image") == expected


def test_a_definition_as_ros_writes_it_is_accepted():
    """Comments, constants, defaults, unqualified names and another order of the parts make no difference."""
    text = (GLUE_MSGS / "msg" / "KeyPatchArray.msg").read_text()
    parts = definition("glue_msgs/msg/KeyPatchArray").split("=" * 80 + "\n")[1:]
    text = text.replace("std_msgs/Header header", "Header header")
    text += "\nuint8 A=1\nuint8 B = 2 # comment\n"
    for part in reversed(parts):
        text += "=" * 80 + "\n" + part
    decoder_for("glue_msgs/msg/KeyPatchArray", "ros2msg", text.encode(), "test")


@pytest.mark.parametrize(
    ("old", "new"),
    [("float64 x", "float32 x"), ("float64 y\n", ""), ("KeyPatch[] patches", "KeyPatch[3] patches")],
)
def test_other_fields_are_refused(old, new):
    text = definition("glue_msgs/msg/KeyPatchArray")
    assert old in text
    with pytest.raises(BagError, match="differs"):
        decoder_for("glue_msgs/msg/KeyPatchArray", "ros2msg", text.replace(old, new).encode(), "test")
