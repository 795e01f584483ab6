"""The whole examination: reads, checks, reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

from glue_bringup.arm.handshake import ask_server
from glue_bringup.doctor import readings
from glue_bringup.doctor.computer_checks import (
    check_clock,
    check_disk,
    check_governor,
    check_kernel,
    check_privileges,
)
from glue_bringup.doctor.finding import Finding, Level
from glue_bringup.doctor.perception_checks import (
    check_camera,
    check_checkpoint,
    check_gpu,
    check_opengl,
    check_rmw,
    check_weights,
)
from glue_bringup.doctor.robot_checks import check_round_trip, check_server
from glue_bringup.task_config import TaskConfig
from glue_perception.errors import GlueError, MissingDependencyError, RenderingError

EXIT_UNFIT = 11
"""Exit code when a check fails; see `glue_perception.errors` for the others."""


def examine(task: TaskConfig, robot_ip: str | None, folder: Path) -> Iterator[Finding]:
    """Give one finding after the other; a check that itself breaks is one more finding, not the end.

    Args:
        task: Whose profile, checkpoint, camera rate and robot are looked at.
        robot_ip: The robot to look at; None takes the task's own, if any.
        folder: Where episodes are recorded.
    """
    address = robot_ip or task.robot.robot_ip
    real = address is not None and not _is_loopback(address)
    profile = task.perception.profile
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("computer", lambda: _computer(real, folder)),
        ("robot", lambda: _robot(task, address)),
        ("camera", lambda: _one(check_camera(*readings.read_camera(task.camera.rate_hz)))),
        ("GPU", lambda: _one(check_gpu(readings.read_gpus(), profile))),
        ("weights", lambda: _one(check_weights(_weights(profile), profile))),
        ("checkpoint", lambda: _one(check_checkpoint(task.policy.checkpoint, _checkpoint_problem(task)))),
        ("OpenGL for the twin", lambda: _one(_opengl())),
        ("ROS middleware", lambda: _one(_rmw())),
    )
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:  # a defect in one check must not hide the others
            yield Finding(name, Level.FAIL, f"the check broke: {type(error).__name__}: {error}", "report it")


def exit_code(findings: list[Finding]) -> int:
    """Return 0, or `EXIT_UNFIT` where a check failed."""
    return EXIT_UNFIT if any(finding.level is Level.FAIL for finding in findings) else 0


def _one(finding: Finding) -> Iterator[Finding]:
    yield finding


def _computer(real: bool, folder: Path) -> Iterator[Finding]:
    yield check_kernel(readings.read_kernel(), real)
    yield check_privileges(*readings.read_limits(), real)
    yield check_governor(readings.read_governors())
    yield check_disk(*readings.read_disk(folder))
    yield check_clock(readings.read_clock())


def _robot(task: TaskConfig, address: str | None) -> Iterator[Finding]:
    if address is None:
        yield check_round_trip(None, asked=False)
        yield check_server(None, None, task.robot.model, asked=False)
        return
    try:
        from glue_bringup.arm.franky_arm import spoken_server_version

        library_version = spoken_server_version()
    except MissingDependencyError:
        library_version = None
    answer = ask_server(address, library_version or 0)
    round_trips = readings.read_round_trips(address)
    if round_trips is None and answer is not None:
        round_trips = (answer.connect_ms,)
    yield check_round_trip(round_trips, asked=True)
    yield check_server(answer, library_version, task.robot.model, asked=True)


def _weights(profile: str) -> dict[str, str]:
    if profile == "embedded":
        return {}
    from glue_perception.weights.store import WeightsStore

    store = WeightsStore()
    return {
        f"{name}/{status.name}": status.state.value
        for name in store.manifest.profile(profile)
        for status in store.status(store.manifest.entry(name))
    }


def _checkpoint_problem(task: TaskConfig) -> str | None:
    from glue_policy.checkpoint import find_checkpoint, load_policy

    try:
        load_policy(find_checkpoint(task.policy.checkpoint))
    except GlueError as error:
        return str(error)
    return None


def _opengl() -> Finding:
    from glue_bringup.sim.rendering import require_rendering

    try:
        return check_opengl(require_rendering(), "")
    except RenderingError as error:
        return check_opengl(None, str(error))


def _rmw() -> Finding:
    return check_rmw(os.environ.get("ROS_DISTRO"), os.environ.get("RMW_IMPLEMENTATION"), os.environ)


def _is_loopback(address: str) -> bool:
    numbers = readings.resolve(address)
    return numbers is not None and ip_address(numbers).is_loopback
