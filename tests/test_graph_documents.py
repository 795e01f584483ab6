"""docs/ros2_graph.md names every topic, service and parameter of the graph."""

import ast
from pathlib import Path

import pytest

from glue_bringup.nodes import names
from glue_perception.bags import topics

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "ros2_graph.md").read_text(encoding="utf-8")
NODES = sorted((ROOT / "src/glue_bringup/glue_bringup/nodes").glob("*_node.py"))
NAMES = sorted(v for key, v in vars(names).items() if key.isupper() and isinstance(v, str))
NOT_IN_THE_GRAPH = {topics.ALIGNED_DEPTH}


def declared(file: Path) -> list[str]:
    """Names of the parameters that a node declares."""
    calls = [n for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    return [c.args[1].value for c in calls if ast.unparse(c.func).startswith("parameters.")]


@pytest.mark.parametrize("name", NAMES)
def test_services_and_actions(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("topic", sorted(set(topics.MESSAGE_TYPES) - NOT_IN_THE_GRAPH))
def test_topics(topic: str) -> None:
    assert f"`{topic}`" in TEXT
    assert topics.MESSAGE_TYPES[topic].replace("/msg/", "/") in TEXT


@pytest.mark.parametrize("node", NODES, ids=lambda file: file.stem)
def test_parameters(node: Path) -> None:
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {node.stem} | `")]
    for name in declared(node):
        assert f"`{name}`" in row, f"{node.stem} declares {name}"
