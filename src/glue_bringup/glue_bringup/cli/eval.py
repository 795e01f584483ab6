"""`glue eval`: success over seeded synchronous episodes: one policy at one task, or a whole experiment."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glue_bringup.cli.screen import print_report
from glue_bringup.cli.sim import positive_int
from glue_bringup.experiment.config import FIRST_SEED, IN_DOMAIN, describes_experiment
from glue_perception.errors import ConfigError

if TYPE_CHECKING:
    from glue_bringup.experiment.analysis import CellResult
    from glue_bringup.experiment.throughput import Throughput

DEFAULT_EPISODES = 20
_OF_A_TASK = ("policy", "episodes", "seed", "report", "record", "condition")
_OF_AN_EXPERIMENT = ("jobs", "output", "redo")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `eval`."""
    parser = subparsers.add_parser(
        "eval",
        help="success rate of a policy, or an experiment over methods, tasks and conditions",
        description="Run seeded episodes in the synchronous twin. With a task: report one policy's success rate "
        "with its interval. With an experiment's YAML file (methods, tasks, conditions): run all cells on the "
        "same seeds in parallel processes and write CSV, Markdown and plots. Finished episodes are kept; the same "
        "command goes on where it was interrupted.",
    )
    parser.add_argument(
        "subject",
        metavar="TASK|EXPERIMENT.yaml",
        help="a shipped task, e.g. push_button, a task's YAML file, or an experiment's",
    )
    task = parser.add_argument_group("one task")
    task.add_argument(
        "--policy", metavar="CKPT|expert", help="checkpoint or 'expert'; default: the task's own"
    )
    task.add_argument("--episodes", type=positive_int, metavar="N", help=f"default: {DEFAULT_EPISODES}")
    task.add_argument("--seed", type=int, metavar="S", help=f"default: {FIRST_SEED}")
    task.add_argument(
        "--condition", metavar="C", help=f"e.g. clutter:2, occlusion, light:3; default: {IN_DOMAIN}"
    )
    task.add_argument("--report", type=Path, metavar="F", help="default: out/eval/TASK.json")
    task.add_argument("--record", type=Path, metavar="DIR", help="record every episode as a bag in DIR")
    experiment = parser.add_argument_group("an experiment")
    experiment.add_argument(
        "--jobs", type=positive_int, metavar="N", help="processes; default: the experiment's own number"
    )
    experiment.add_argument("--output", type=Path, metavar="DIR", help="default: out/eval/NAME")
    experiment.add_argument(
        "--redo",
        action="store_true",
        default=None,
        help="run episodes again whose checkpoint or configuration has changed since",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the episodes that are not done yet."""
    if describes_experiment(args.subject):
        _refuse(args, _OF_A_TASK, "one task; an experiment's file says it itself")
        return _run_experiment(args)
    _refuse(args, _OF_AN_EXPERIMENT, "an experiment's YAML file")
    return _run_task(args)


def _refuse(args: argparse.Namespace, options: tuple[str, ...], belongs_to: str) -> None:
    for name in options:
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} belongs to {belongs_to}")


def _run_task(args: argparse.Namespace) -> int:
    from glue_bringup.experiment.throughput import measure_throughput
    from glue_bringup.loop.episode import summarise
    from glue_bringup.loop.pilot import Pilot
    from glue_bringup.loop.progress import EpisodeProgress
    from glue_bringup.loop.run import run_episodes, write_report
    from glue_bringup.loop.sync_session import SyncSession
    from glue_bringup.sim.ood import get_condition
    from glue_bringup.sim.rendering import require_rendering
    from glue_bringup.task_config import load_task
    from glue_perception.provenance import git_revision

    first_seed = FIRST_SEED if args.seed is None else args.seed
    if first_seed < 0:
        raise ConfigError(f"--seed must not be negative, not {first_seed}")
    task = load_task(args.subject)
    condition = get_condition(args.condition or IN_DOMAIN)
    require_rendering()
    pilot = Pilot(task, args.policy)
    report_path = args.report or Path("out/eval") / f"{task.task}.json"
    subject = {"task": task.task, "policy": pilot.name, "fingerprint": pilot.fingerprint}
    if condition.name != IN_DOMAIN:
        subject["condition"] = condition.name
    progress = EpisodeProgress(report_path.with_suffix(".episodes.jsonl"), subject)
    with SyncSession(task, pilot, condition) as session:
        seeds = range(first_seed, first_seed + (args.episodes or DEFAULT_EPISODES))
        done = progress.load()
        with measure_throughput() as meter:
            results = run_episodes(session, seeds, args.record, done, progress.add)
    report = summarise(
        task.task,
        session.host,
        pilot.name,
        first_seed,
        results,
        session.latencies,
        git_revision(),
        condition.name,
    )
    write_report(report_path, report)
    progress.remove()
    print_report(report, {"report": report_path, "bags": args.record})
    earlier = {result.seed for result in done}
    new_s = sum(result.duration_s for result in results if result.seed not in earlier)
    if new_s:
        print(f"  {meter.throughput(new_s)}")
    return 0


def _run_experiment(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from glue_bringup.experiment.analysis import cell_results
    from glue_bringup.experiment.config import ExperimentConfig
    from glue_bringup.experiment.episodes import EpisodeFile
    from glue_bringup.experiment.plan import plan_cells
    from glue_bringup.experiment.run import run_missing
    from glue_bringup.experiment.write import write_results
    from glue_bringup.sim.rendering import require_rendering
    from glue_perception.config import load_config

    config = load_config(ExperimentConfig, Path(args.subject))
    if args.jobs is not None:
        config = replace(config, jobs=args.jobs)
    cells = plan_cells(config)
    require_rendering()
    folder = args.output or Path("out/eval") / config.name
    with EpisodeFile(folder / "episodes.jsonl") as file:
        try:
            throughput = run_missing(config, cells, file, redo=bool(args.redo))
        finally:
            # Also of what there is when an experiment is interrupted.
            rows = write_results(folder, config, cells, file.rows)
    _print_results(cell_results(rows), throughput, folder)
    return 0


def _print_results(results: list[CellResult], throughput: Throughput, folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("task", "condition", "method"):
        table.add_column(title)
    for title in ("success", "95 % Wilson"):
        table.add_column(title, justify="right")
    for r in results:
        low, high = (100 * bound for bound in r.interval)
        table.add_row(
            r.task, r.condition, r.method, f"{r.successes} of {r.episodes}", f"{low:.0f} to {high:.0f} %"
        )
    console = Console(highlight=False)
    console.print(table)
    if throughput.simulated_s:
        console.print(f"  {throughput}", soft_wrap=True)
    console.print(f"  results: {folder / 'report.md'}", soft_wrap=True)
