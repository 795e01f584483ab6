"""The one launch description that all launch files share: which nodes run, and what happens when one ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

COMMON_ARGUMENTS = (
    ("task", "push_button", "What to do: a shipped task (push_button, ...) or the path of a task's YAML file."),
    ("checkpoint", "", "Policy: a checkpoint directory or the name of a shipped one. Empty: the task's own."),
    ("seed", "0", "Seed of the policy's noise (and of the scene, where it is simulated)."),
    ("run", "true", "true: run one episode at once. false: wait for the action /glue/run_task."),
    ("end_after", "false", "true: end when that episode does, with exit code 0 only if it succeeded."),
    ("log_level", "info", "debug, info, warn, error or fatal."),
    (
        "python",
        "",
        "Interpreter that has the project's Python packages. Empty: $GLUE_PYTHON, else that of the active virtual "
        "environment, else the one that runs this launch file.",
    ),
)


def arguments(extra: tuple[tuple[str, str, str], ...] = ()) -> list[Any]:
    """Return the declarations of launch arguments: (name, default, description)."""
    return [DeclareLaunchArgument(n, default_value=v, description=d) for n, v, d in (*extra, *COMMON_ARGUMENTS)]


def graph(*nodes: tuple[str, dict[str, str]]) -> OpaqueFunction:
    """Return what starts the nodes.

    Args:
        nodes: Name of each (its module in `glue_bringup.nodes`) and its parameters; a value `$name` is a launch
            argument's.
    """

    def start(context: LaunchContext) -> list[Any]:
        return [action for name, values in nodes for action in _node(context, name, values)]

    return OpaqueFunction(function=start)


def _node(context: LaunchContext, name: str, values: dict[str, str]) -> list[Any]:
    resolved = {key: _value(context, value) for key, value in values.items()}
    process = Node(
        executable=_interpreter(context),
        name=name,
        exec_name=name,
        arguments=["-m", "glue_bringup.nodes", name],
        parameters=[resolved],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=False,
    )

    def ended(event: Any, context: LaunchContext) -> list[Any]:
        if context.is_shutdown:
            return []
        if event.returncode == 0:
            return [EmitEvent(event=Shutdown(reason=f"{name} has ended"))]
        if event.returncode < 0:
            words = f"{name} was killed by signal {-event.returncode}; starting it again"
            return [LogInfo(msg=words), *_node(context, name, values)]
        raise RuntimeError(f"{name} failed with exit code {event.returncode}; its last line says why")

    return [process, RegisterEventHandler(OnProcessExit(target_action=process, on_exit=ended))]


def _value(context: LaunchContext, value: str) -> Any:
    """Return a launch argument or a constant as the type that it reads as."""
    if value.startswith("$"):
        value = context.perform_substitution(LaunchConfiguration(value[1:]))
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.removeprefix("-").isdigit() else value


def _interpreter(context: LaunchContext) -> str:
    given = context.perform_substitution(LaunchConfiguration("python")) or os.environ.get("GLUE_PYTHON", "")
    if given:
        return given
    environment = os.environ.get("VIRTUAL_ENV", "")
    return str(Path(environment) / "bin" / "python") if environment else sys.executable
