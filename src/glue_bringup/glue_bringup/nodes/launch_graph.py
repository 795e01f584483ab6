"""The one launch description that all launch files share: which nodes run, and what happens when one ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import Condition, LaunchContext
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from glue_perception.bags import topics

BOOLEAN = ("true", "false")
LEVELS = ("debug", "info", "warn", "error", "fatal")
CHECK_S = 300.0
LOG_HEAD = r"^(.*\[FATAL\] (\[[^\]]*\] ?)*:? ?|error: )"
WHAT_ARGUMENTS = (
    (
        "task",
        "push_button",
        "What to do: a shipped task (push_button, ...) or the path of a task's YAML file.",
    ),
    ("checkpoint", "", "Policy: a checkpoint directory or the name of a shipped one. Empty: the task's own."),
    ("seed", "0", "Seed of the policy's noise (and of the scene, where it is simulated)."),
    ("run", "true", "true: run one episode at once. false: wait for the action /glue/run_task."),
    ("end_after", "false", "true: end when that episode does, with exit code 0 only if it succeeded."),
)
HOW_ARGUMENTS = (
    (
        "lease_s",
        "0.12",
        "A node that is killed counts as gone after this long [s]: the arm is held. Longer where a loaded machine "
        "raises false alarms.",
    ),
    ("log_level", "info", "Of the nodes: how much they say."),
    (
        "python",
        "",
        "Interpreter that has the project's Python packages. Empty: $GLUE_PYTHON, else that of the active virtual "
        "environment, else the one that runs this launch file.",
    ),
)


STOP_S = "15"
"""The arm needs up to 3 s to come to rest, and a busy machine its time to unload a network."""


def arguments(
    extra: tuple[tuple[str, str, str], ...] = (), without: tuple[str, ...] = (), **defaults: str
) -> list[Any]:
    """Return the declarations of launch arguments.

    Args:
        extra: Name, default and description of those that only this launch file has.
        without: Common ones that this launch file has no use for.
        defaults: Other defaults for common ones.
    """
    return [
        DeclareLaunchArgument(
            name,
            default_value=defaults.get(name, default),
            description=description,
            choices=LEVELS if name == "log_level" else BOOLEAN if default in BOOLEAN else None,
        )
        for name, default, description in (
            *(a for a in WHAT_ARGUMENTS if a[0] not in without),
            *extra,
            *HOW_ARGUMENTS,
        )
    ]


@dataclass(frozen=True)
class Shell:
    """One node of a graph.

    Attributes:
        name: Its module in `glue_bringup.nodes`.
        parameters: Its parameters; a value `$name` is a launch argument's.
        condition: Whether it runs at all; None: always.
    """

    name: str
    parameters: Mapping[str, str]
    condition: Condition | None = None


COMMON = {"lease_s": "$lease_s"}
"""Parameters of all nodes."""


CHECKED = ("task", "profile", "device", "bag")
"""Launch arguments that are checked before anything is started."""

REMAPPED = {"image_topic": topics.IMAGE, "camera_info_topic": topics.CAMERA_INFO}
"""Launch arguments that name another topic."""


def graph(*shells: Shell) -> OpaqueFunction:
    """Return what checks the arguments and starts the nodes.

    A node that fails ends the launch with exit code 1, one that is killed is started again, and one that ends by
    itself ends the launch.
    """

    def start(context: LaunchContext) -> list[Any]:
        _check(context)
        wanted = [s for s in shells if s.condition is None or s.condition.evaluate(context)]
        return [action for shell in wanted for action in _node(context, shell)]

    return OpaqueFunction(function=start)


def _check(context: LaunchContext) -> None:
    """RuntimeError with the reason, in one line, if the launch arguments cannot work."""
    given = context.launch_configurations
    checked = {name: given[name] for name in CHECKED if name in given}
    command = [_interpreter(context), "-m", "glue_bringup.loop.launch_check", json.dumps(checked)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=CHECK_S)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        raise RuntimeError(lines[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(
            f"the arguments could not be checked within {CHECK_S:g} s; is the computer too busy?"
        ) from error
    except OSError as error:
        raise RuntimeError(f"the interpreter of the nodes cannot be run ({error}); give python:=") from error


def _node(context: LaunchContext, shell: Shell) -> list[Any]:
    name, given = shell.name, context.launch_configurations
    last_words: list[str] = []
    process = Node(
        executable=_interpreter(context),
        name=name,
        exec_name=name,
        arguments=["-m", "glue_bringup.nodes", name],
        parameters=[{key: _value(context, value) for key, value in {**COMMON, **shell.parameters}.items()}],
        ros_arguments=[
            "--log-level",
            f"{name}:={context.perform_substitution(LaunchConfiguration('log_level'))}",
        ],
        remappings=[
            (topic, given[name]) for name, topic in REMAPPED.items() if given.get(name, topic) != topic
        ],
        output="screen",
        sigterm_timeout=STOP_S,
    )

    # A node says why it ends by a line [FATAL] or, before it is a node, by a line that begins with error:
    def said(event: Any) -> None:
        lines = event.text.decode(errors="replace").splitlines()
        last_words.extend(re.sub(LOG_HEAD, "", line) for line in lines if re.match(LOG_HEAD, line))

    def ended(event: Any, context: LaunchContext) -> list[Any]:
        if context.is_shutdown:
            return []
        if event.returncode == 0:
            return [EmitEvent(event=Shutdown(reason=f"{name} has ended"))]
        if event.returncode < 0:
            words = f"{name} was killed by signal {-event.returncode}; starting it again"
            return [LogInfo(msg=words), *_node(context, shell)]
        reason = last_words[-1] if last_words else "its last lines say why"
        raise RuntimeError(f"{name} failed with exit code {event.returncode}: {reason}")

    return [
        process,
        RegisterEventHandler(OnProcessIO(target_action=process, on_stderr=said)),
        RegisterEventHandler(OnProcessExit(target_action=process, on_exit=ended)),
    ]


def _value(context: LaunchContext, value: str) -> Any:
    """Return a launch argument or a constant as the type that it reads as."""
    if value.startswith("$"):
        value = context.perform_substitution(LaunchConfiguration(value[1:]))
    if value in ("true", "false"):
        return value == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _interpreter(context: LaunchContext) -> str:
    given = context.perform_substitution(LaunchConfiguration("python")) or os.environ.get("GLUE_PYTHON", "")
    if given:
        return given
    environment = os.environ.get("VIRTUAL_ENV", "")
    return str(Path(environment) / "bin" / "python") if environment else sys.executable
