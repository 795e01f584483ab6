"""`glue eval`: success rate over seeded synchronous episodes, resumable."""

from __future__ import annotations

import argparse
from pathlib import Path

from glue_bringup.cli.screen import print_report
from glue_bringup.cli.sim import positive_int

FIRST_SEED = 100_000
"""Far from the seeds of demonstrations, so that no layout is seen in training."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `eval`."""
    parser = subparsers.add_parser(
        "eval",
        help="success rate of a policy over seeded episodes",
        description="Run seeded episodes in the synchronous twin and report the success rate with its interval. "
        "Finished episodes are kept beside the report; the same command goes on where it was interrupted.",
    )
    parser.add_argument("task", help="a shipped task, e.g. push_button, or a task's YAML file")
    parser.add_argument(
        "--policy", metavar="CKPT|expert", help="checkpoint or 'expert'; default: the task's own"
    )
    parser.add_argument("--episodes", type=positive_int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, metavar="S", help=f"default: {FIRST_SEED}")
    parser.add_argument("--report", type=Path, metavar="F", help="default: out/eval/TASK.json")
    parser.add_argument("--record", type=Path, metavar="DIR", help="record every episode as a bag in DIR")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the episodes that are not done yet."""
    from glue_bringup.loop.episode import summarise
    from glue_bringup.loop.pilot import Pilot
    from glue_bringup.loop.progress import EpisodeProgress
    from glue_bringup.loop.run import run_episodes, write_report
    from glue_bringup.loop.sync_session import SyncSession
    from glue_bringup.sim.rendering import require_rendering
    from glue_bringup.task_config import load_task
    from glue_perception.provenance import git_revision

    task = load_task(args.task)
    require_rendering()
    pilot = Pilot(task, args.policy)
    report_path = args.report or Path("out/eval") / f"{task.task}.json"
    progress = EpisodeProgress(
        report_path.with_suffix(".episodes.jsonl"),
        {"task": task.task, "policy": pilot.name, "fingerprint": pilot.fingerprint},
    )
    with SyncSession(task, pilot) as session:
        seeds = range(args.seed, args.seed + args.episodes)
        results = run_episodes(session, seeds, args.record, progress.load(), progress.add)
    report = summarise(
        task.task, session.host, pilot.name, args.seed, results, session.latencies, git_revision()
    )
    write_report(report_path, report)
    progress.remove()
    print_report(report, {"report": report_path, "bags": args.record})
    return 0
