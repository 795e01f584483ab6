"""The viewers of a graph, each started only if asked for: RViz, and Foxglove's bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext
from launch.actions import OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, OrSubstitution
from launch_ros.actions import Node

from glue_bringup.nodes.launch_graph import Shell

VIEWER_ARGUMENTS = (
    (
        "rviz",
        "false",
        "true: RViz with the camera, key-patches by health, target and predicted path (package rviz2).",
    ),
    (
        "foxglove",
        "false",
        "true: the bridge for Foxglove at ws://localhost:8765 (package foxglove_bridge); open the layout "
        "share/glue_bringup/config/foxglove.json there.",
    ),
)
FOXGLOVE_PORT = 8765


def view_shell(simulated: str) -> Shell:
    """Return the node that draws for the viewers.

    Args:
        simulated: Whether the camera is the twin's: true, false, or $ and a launch argument.
    """
    wanted = OrSubstitution(LaunchConfiguration("rviz"), LaunchConfiguration("foxglove"))
    return Shell("view_node", {"task": "$task", "simulated": simulated}, IfCondition(wanted))


def viewers() -> OpaqueFunction:
    """Return what starts the viewers that are asked for; RuntimeError with the remedy if one is not installed."""
    return OpaqueFunction(function=_viewers)


def _viewers(context: LaunchContext) -> list[Any]:
    found: list[Any] = []
    if _asked_for("rviz", "rviz2", context):
        config = Path(get_package_share_directory("glue_bringup")) / "config" / "glue.rviz"
        found.append(Node(package="rviz2", executable="rviz2", arguments=["-d", str(config)]))
    if _asked_for("foxglove", "foxglove_bridge", context):
        parameters = {"port": FOXGLOVE_PORT, "address": "127.0.0.1"}
        found.append(Node(package="foxglove_bridge", executable="foxglove_bridge", parameters=[parameters]))
    return found


def _asked_for(argument: str, package: str, context: LaunchContext) -> bool:
    if not IfCondition(LaunchConfiguration(argument)).evaluate(context):
        return False
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        name = f"ros-jazzy-{package.replace('_', '-')}"
        raise RuntimeError(
            f"{argument}:=true needs the package {package}; run: sudo apt install {name}"
        ) from error
    return True
