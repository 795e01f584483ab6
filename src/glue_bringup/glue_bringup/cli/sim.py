"""`glue sim`: run a task in the simulation twin."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from glue_bringup.cli.screen import print_report
from glue_bringup.sim.ood import CONDITIONS, get_condition
from glue_perception.errors import ConfigError

if TYPE_CHECKING:
    from glue_bringup.loop.episode import EpisodeResult
    from glue_bringup.loop.pilot import Pilot
    from glue_bringup.loop.session import Session


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `sim`."""
    parser = subparsers.add_parser(
        "sim",
        help="run a task in the simulation twin, by a policy or the scripted expert",
        description="Run a task in the simulation twin. Without --sync the arm is driven in real time through the "
        "robot's own network protocol and driver; with --sync the same scene is stepped faster than real time.",
    )
    parser.add_argument("task", help="a shipped task, e.g. push_button, or a task's YAML file")
    parser.add_argument("--episodes", type=positive_int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="seed of the first episode; default: 0"
    )
    parser.add_argument("--sync", action="store_true", help="synchronous, faster than real time")
    parser.add_argument(
        "--policy", metavar="CKPT|expert", help="checkpoint or 'expert'; default: the task's own"
    )
    parser.add_argument(
        "--noise-m",
        type=float,
        default=0.0,
        metavar="M",
        help="disturb the expert's motion by this much (1 sigma)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="record every episode as a bag in DIR; the same command goes on where it was interrupted",
    )
    parser.add_argument(
        "--depth", action="store_true", help="the camera measures depth too, as demonstrations for dp3 need"
    )
    parser.add_argument(
        "--condition",
        default="in_domain",
        metavar="C",
        help=f"{', '.join(CONDITIONS)}, or numbers of your own (docs/conditions.md); default: in_domain",
    )
    parser.add_argument("--video", type=Path, metavar="F", help="overlay video of the first episode")
    parser.add_argument("--report", type=Path, metavar="F", help="report as JSON")
    parser.set_defaults(run=run)


def positive_int(text: str) -> int:
    """Return `text` as an integer of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def run(args: argparse.Namespace) -> int:
    """Run the episodes; exit code 0 also where the task was not solved, as that is a result."""
    # Imported here so that `glue --help` answers at once.
    from glue_bringup.loop.episode import summarise
    from glue_bringup.loop.pilot import Pilot
    from glue_bringup.loop.run import write_report
    from glue_bringup.loop.sync_session import SyncSession
    from glue_bringup.recording.bag_video import write_bag_video
    from glue_bringup.sim.rendering import require_rendering
    from glue_bringup.task_config import load_task
    from glue_perception.provenance import git_revision

    if args.seed < 0:
        raise ConfigError(f"--seed must not be negative, not {args.seed}")
    if not 0.0 <= args.noise_m <= 0.1:
        raise ConfigError(f"--noise-m must lie in 0..0.1 m, not {args.noise_m}")
    condition = get_condition(args.condition)
    task = load_task(args.task)
    if args.depth:
        task = task.with_depth()
    require_rendering()
    pilot = Pilot(task, args.policy, args.noise_m)
    with ExitStack() as stack:
        record = args.record
        if record is None and args.video is not None:
            record = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glue_sim_")))
        session: Session
        if args.sync:
            session = SyncSession(task, pilot, condition)
        else:
            from glue_bringup.loop.protocol_session import ProtocolSession

            session = ProtocolSession(task, pilot, condition)
        stack.enter_context(session)
        seeds = range(args.seed, args.seed + args.episodes)
        results = _run_and_remember(session, pilot, seeds, args, record)
        report = summarise(
            task.task,
            session.host,
            pilot.name,
            args.seed,
            results,
            session.latencies,
            git_revision(),
            condition.name,
        )
        if args.video is not None:
            write_bag_video(Path(results[0].bag), args.video, task.camera.rate_hz)
    if args.report is not None:
        write_report(args.report, report)
    print_report(report, {"report": args.report, "video": args.video, "bags": args.record})
    return 0


def _run_and_remember(
    session: Session, pilot: Pilot, seeds: range, args: argparse.Namespace, record: Path | None
) -> list[EpisodeResult]:
    """Run the episodes; recorded ones that an earlier, interrupted run finished are not run again."""
    from glue_bringup.loop.progress import EpisodeProgress
    from glue_bringup.loop.run import run_episodes

    if args.record is None:
        return run_episodes(session, seeds, record)
    subject = {
        "task": args.task,
        "host": session.host.value,
        "policy": pilot.name,
        "fingerprint": pilot.fingerprint,
        "noise_m": str(args.noise_m),
        "condition": get_condition(args.condition).name,
    }
    if args.depth:
        subject["depth"] = "measured"
    progress = EpisodeProgress(args.record / "episodes.jsonl", subject)
    return run_episodes(session, seeds, record, progress.load(), progress.add)
