"""`glue record`: record demonstrations by teleoperation."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from glue_bringup.cli.sim import positive_int
from glue_perception.errors import ConfigError

if TYPE_CHECKING:
    from glue_bringup.recording.audit import AuditConfig
    from glue_bringup.recording.demonstration_recorder import RecordedEpisode
    from glue_bringup.task_config import TaskConfig
    from glue_bringup.teleop.config import TeleopConfig
    from glue_bringup.teleop.device import TeleopDevice


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `record`."""
    parser = subparsers.add_parser(
        "record",
        help="record demonstrations by teleoperation, in the simulation twin",
        description="Record demonstrations in the real-time twin, moved by a SpaceMouse, the keyboard or the "
        "scripted expert. Keys: Enter start, Space stop, y success, n failure, Backspace discard, q quit. "
        "Every episode is audited and kept; an unfit one is marked as refused, with the reason (docs/recording.md).",
    )
    parser.add_argument("task", help="a shipped task, e.g. push_button, or a task's YAML file")
    parser.add_argument("--teleop", choices=("spacemouse", "keyboard", "expert"), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bags")
    parser.add_argument("--episodes", type=positive_int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first scene; default: 0")
    parser.add_argument("--operator", default="", metavar="NAME", help="who demonstrates")
    parser.add_argument("--notes", default="", metavar="TEXT", help="about the scene")
    parser.add_argument(
        "--calibration", type=Path, metavar="F", help="a calibration's YAML, kept in each bag"
    )
    parser.add_argument(
        "--settings", type=Path, metavar="F", help="YAML of dead band, speeds, buttons and so on"
    )
    parser.add_argument("--no-rotation", action="store_true", help="the tool keeps its orientation")
    parser.add_argument(
        "--max-duration-s", type=float, metavar="S", help="of an episode; default: 60, expert: task's"
    )
    parser.add_argument("--noise-m", type=float, default=0.0, metavar="M", help="disturb the expert's motion")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record; exit code 0 also where episodes were refused, as they are on disk and say why."""
    # Imported here so that `glue --help` answers at once.
    from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder
    from glue_bringup.recording.said_metadata import said_metadata
    from glue_bringup.sim.rendering import require_rendering
    from glue_bringup.task_config import load_task
    from glue_bringup.teleop.operator import HELP, TerminalOperator
    from glue_bringup.teleop.record_session import RecordSession

    if args.seed < 0:
        raise ConfigError(f"--seed must not be negative, not {args.seed}")
    if not 0.0 <= args.noise_m <= 0.1:
        raise ConfigError(f"--noise-m must lie in 0..0.1 m, not {args.noise_m}")
    task = _with_duration(load_task(args.task), args)
    teleop = _teleop_config(args)
    metadata = said_metadata(args.operator, args.notes, args.calibration)
    require_rendering()
    _repair_all(args.out)
    with ExitStack() as stack:
        device, on_key = _device(args.teleop)
        if device is not None:
            stack.callback(device.close)
        operator = None
        if device is not None:
            operator = stack.enter_context(TerminalOperator(on_key))
            print(HELP)
        recorder = DemonstrationRecorder(args.out, metadata, _audit_config(task))
        session = RecordSession(task, recorder, device, operator, teleop, args.noise_m)
        for seed in range(args.seed, args.seed + args.episodes):
            episode = session.run(seed)
            if episode is not None:
                _print(episode)
            if session.over:
                break
    return 0


def _device(name: str) -> tuple[TeleopDevice | None, Callable[[str], bool]]:
    """Return the device, None for the expert, and who is asked first about a key."""
    if name == "keyboard":
        from glue_bringup.teleop.keyboard import HELP, Keyboard

        print(HELP)
        keyboard = Keyboard()
        return keyboard, keyboard.feed
    if name == "spacemouse":
        from glue_bringup.teleop.spacemouse import open_spacemouse

        return open_spacemouse(), lambda key: False
    return None, lambda key: False


def _audit_config(task: TaskConfig) -> AuditConfig:
    from glue_bringup.recording.audit import AuditConfig

    return AuditConfig.at_rates(task.policy.rate_hz, task.camera.rate_hz)


def _repair_all(directory: Path) -> None:
    """Finish what a killed recorder left, and say so."""
    from glue_bringup.recording.episode_listing import repair_all

    for line in repair_all(directory):
        print(line)


def _print(episode: RecordedEpisode) -> None:
    print(f"{episode.path}: {episode.outcome.value}, {episode.figures['duration_s']:.1f} s")
    for finding in episode.findings:
        print(f"  {finding.severity.value}: {finding.text}")
    if episode.failure:
        print(f"  {episode.failure}")


def _with_duration(task: TaskConfig, args: argparse.Namespace) -> TaskConfig:
    default_s = task.max_duration_s if args.teleop == "expert" else 60.0
    duration_s = args.max_duration_s or default_s
    if not 1.0 <= duration_s <= 600.0:
        raise ConfigError(f"--max-duration-s must lie in 1..600, not {duration_s}")
    return replace(task, max_duration_s=duration_s)


def _teleop_config(args: argparse.Namespace) -> TeleopConfig:
    from glue_bringup.teleop.config import Rotation, TeleopConfig
    from glue_perception.config import load_config

    config = load_config(TeleopConfig, args.settings) if args.settings is not None else TeleopConfig()
    if args.no_rotation:
        config = replace(config, rotation=Rotation.OFF)
    if args.teleop == "keyboard":
        config = config.for_keyboard()
    return config
