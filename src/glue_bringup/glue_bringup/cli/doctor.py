"""`glue doctor`: is this computer fit to run the task, and the robot to be driven?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from glue_bringup.doctor.finding import Finding

_COLOURS = {"OK": "green", "warn": "yellow", "fail": "red", "not checked": "dim"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `doctor`."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this computer, the robot, camera, weights and clock, with remedies",
        description="Look at what a run needs; every line is OK, warn, fail or not checked with the remedy. Reads "
        "only; with --robot-ip it says hello to the robot, which must not be in use. Exit code 11 if a check fails.",
    )
    parser.add_argument(
        "--task",
        default="push_button",
        metavar="T",
        help="a shipped task or a YAML file; default: push_button",
    )
    parser.add_argument("--robot-ip", metavar="IP", help="default: the task's own, if any")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where episodes are recorded; default: here",
    )
    parser.add_argument("--json", action="store_true", help="print a list for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine and print; returns the exit code.

    Raises:
        ConfigError: no such task or folder.
    """
    from glue_bringup.doctor.examine import examine, exit_code
    from glue_bringup.task_config import load_task
    from glue_perception.errors import ConfigError

    if not args.folder.is_dir():
        raise ConfigError(f"--folder {args.folder} is no folder; make it first")
    task = load_task(args.task)
    console = Console(highlight=False)
    findings = []
    for finding in examine(task, args.robot_ip, args.folder):
        findings.append(finding)
        if not args.json:
            _print(console, finding)
    if args.json:
        print(json.dumps([_plain(finding) for finding in findings], indent=1))
    return exit_code(findings)


def _print(console: Console, finding: Finding) -> None:
    level = finding.level.value
    colour = _COLOURS[level]
    console.print(
        f"[{colour}]{level:11}[/] [bold]{finding.name:22}[/] {escape(finding.found)}", soft_wrap=True
    )
    if finding.remedy and level != "OK":
        console.print(f"{'':12}[dim]do:[/] {escape(finding.remedy)}", soft_wrap=True)


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "name": finding.name,
        "level": finding.level.value.replace(" ", "_").lower(),
        "found": finding.found,
        "remedy": finding.remedy,
    }
