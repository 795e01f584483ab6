"""The layouts of RViz and Foxglove show topics that the graph has, with the types and quality it gives them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from glue_bringup.nodes import names
from glue_perception.bags import topics

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "src/glue_bringup/config"
RVIZ = yaml.safe_load((CONFIG / "glue.rviz").read_text(encoding="utf-8"))["Visualization Manager"]
FOXGLOVE = json.loads((CONFIG / "foxglove.json").read_text(encoding="utf-8"))
TYPES = {
    **{topic: kind.replace("/msg/", "/") for topic, kind in topics.MESSAGE_TYPES.items()},
    names.VIEW_IMAGE: "sensor_msgs/Image",
    names.VIEW_PATH: "nav_msgs/Path",
    "/diagnostics": "diagnostic_msgs/DiagnosticArray",
}
DISPLAYED = {"Image": "sensor_msgs/Image", "Path": "nav_msgs/Path", "Pose": "geometry_msgs/PoseStamped"}
WHAT_A_PERSON_SEES = {names.VIEW_IMAGE, names.VIEW_PATH, topics.TARGET_POSE, topics.CURRENT_POSE}


def documented_quality(topic: str) -> str:
    """The quality of service of a topic as docs/ros2_graph.md says it."""
    rows = (ROOT / "docs/ros2_graph.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in rows if line.startswith("| `/") and f"`{topic}`" in line.split("|")[1]]
    cells = [cell.strip() for cell in row.split("|")]
    position = re.findall(r"`([^`]+)`", cells[1]).index(topic)
    return cells[3].split("; ")[position if "; " in cells[3] else 0]


def rviz_displays() -> list[dict[str, Any]]:
    return [display for display in RVIZ["Displays"] if "Topic" in display]


@pytest.mark.parametrize("display", rviz_displays(), ids=lambda display: display["Name"])
def test_rviz(display: dict[str, Any]) -> None:
    topic, kind = display["Topic"]["Value"], display["Class"].removeprefix("rviz_default_plugins/")
    assert TYPES[topic] == DISPLAYED[kind]
    # A reliable subscriber gets nothing from a best-effort publisher.
    if documented_quality(topic).startswith("best effort"):
        assert display["Topic"]["Reliability Policy"] == "Best Effort"
    assert display["Topic"]["Durability Policy"] == "Volatile"


def test_rviz_shows_what_a_person_wants_to_see() -> None:
    assert {d["Topic"]["Value"] for d in rviz_displays() if d["Enabled"]} >= WHAT_A_PERSON_SEES
    assert RVIZ["Global Options"]["Fixed Frame"] == topics.BASE_FRAME


def panels(layout: Any) -> list[str]:
    """Names of the panels in a tree of splits."""
    if isinstance(layout, str):
        return [layout]
    return panels(layout["first"]) + panels(layout["second"])


def foxglove_topics() -> set[str]:
    text = json.dumps(FOXGLOVE["configById"])
    return {re.match(r"/[^.\[]+", word)[0] for word in re.findall(r'"(/[^"]*)"', text)}  # type: ignore[index]


def test_foxglove_shows_topics_of_the_graph() -> None:
    assert foxglove_topics() <= set(TYPES)
    assert foxglove_topics() >= WHAT_A_PERSON_SEES | {topics.KEY_PATCHES, topics.SAFETY_EVENT}
    assert FOXGLOVE["configById"]["3D!motion"]["followTf"] == topics.BASE_FRAME


def test_every_foxglove_panel_has_its_place() -> None:
    assert sorted(panels(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])


def test_plotted_fields_exist() -> None:
    fields = {
        topics.KEY_PATCHES: ROOT / "src/glue_msgs/msg/KeyPatchArray.msg",
    }
    for topic, file in fields.items():
        for word in re.findall(rf'"{topic}\.(\w+)', json.dumps(FOXGLOVE)):
            assert re.search(rf"\b{word}\b", file.read_text(encoding="utf-8"))


def test_layouts_are_installed() -> None:
    text = (ROOT / "src/glue_bringup/setup.py").read_text(encoding="utf-8")
    for file in CONFIG.iterdir():
        assert f'"config/{file.name}"' in text
