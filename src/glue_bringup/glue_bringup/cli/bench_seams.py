"""`glue bench seams`: how a chunk goes on from the one before, mode against mode under added delay."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glue_bringup.cli.sim import positive_int
from glue_bringup.experiment.config import FIRST_SEED
from glue_perception.config import suggest
from glue_perception.errors import ConfigError

DEFAULT_DELAYS = "0,0.1,0.3"
DEFAULT_MODES = "hard,ensemble,inpaint"
DEFAULT_EPISODES = 10


def register(benches: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `seams` to `glue bench`."""
    parser = benches.add_parser(
        "seams",
        help="hard switch, temporal ensembling and inpainting between chunks, under added delay",
        description="Fly a policy in the synchronous twin in every seam mode under every added delay, on the same "
        "seeds. Prints success and the steps of the target at the seams; writes a report (JSON) and a figure beside "
        "it. Finished episodes are kept; the same command goes on where it was interrupted.",
    )
    parser.add_argument("--task", default="push_button", metavar="TASK", help="default: push_button")
    parser.add_argument("--policy", metavar="CKPT", help="default: the task's own")
    parser.add_argument(
        "--delays",
        default=DEFAULT_DELAYS,
        metavar="S,S",
        help=f"added to the task's own latency, in seconds; default: {DEFAULT_DELAYS}",
    )
    parser.add_argument("--modes", default=DEFAULT_MODES, metavar="M,M", help=f"default: {DEFAULT_MODES}")
    parser.add_argument(
        "--episodes",
        type=positive_int,
        default=DEFAULT_EPISODES,
        metavar="N",
        help=f"of every mode and delay; default: {DEFAULT_EPISODES}",
    )
    parser.add_argument("--seed", type=int, default=FIRST_SEED, metavar="S", help=f"default: {FIRST_SEED}")
    parser.add_argument("--report", type=Path, required=True, metavar="FILE", help="report to write (JSON)")
    parser.set_defaults(run=run_seams)


def run_seams(args: argparse.Namespace) -> int:
    """Run `glue bench seams`; returns the exit code."""
    from glue_bringup.experiment.seam_benchmark import SeamBenchmark
    from glue_bringup.experiment.seam_plot import write_seam_plot
    from glue_bringup.loop.run import write_report
    from glue_bringup.sim.rendering import require_rendering
    from glue_bringup.task_config import load_task
    from glue_perception.errors import MissingDependencyError
    from glue_perception.provenance import provenance
    from glue_policy.chunk_seams import SeamMode

    if args.seed < 0:
        raise ConfigError(f"--seed must not be negative, not {args.seed}")
    names = _parts("--modes", args.modes)
    known = [mode.value for mode in SeamMode]
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown seam mode {name!r}.{suggest(name, known)}")
    delays_s = [_seconds(part) for part in _parts("--delays", args.delays)]
    task = load_task(args.task)
    require_rendering()
    seeds = range(args.seed, args.seed + args.episodes)
    folder = args.report.with_suffix(".episodes")
    benchmark = SeamBenchmark(task, args.policy, [SeamMode(name) for name in names], delays_s, seeds, folder)
    cells = [cell.summary() for cell in benchmark.run()]
    report = {
        "task": task.task,
        "policy": benchmark.pilot.name,
        "kind": benchmark.pilot.kind,
        "fingerprint": benchmark.pilot.fingerprint,
        "sync_latency_s": task.policy.sync_latency_s,
        "first_seed": args.seed,
        "cells": cells,
        "provenance": provenance(),
    }
    write_report(args.report, report)
    benchmark.forget()
    print(describe(report))
    print(f"report   {args.report}")
    figure = args.report.with_suffix(".png")
    try:
        write_seam_plot(figure, cells)
    except MissingDependencyError as error:
        print(f"no figure: {error}")
    else:
        print(f"figure   {figure}")
    return 0


def describe(report: Mapping[str, Any]) -> str:
    """Return the report as a table for people."""
    lines = [
        f"{report['policy']} ({report['kind']}) at {report['task']}, capture to chunk "
        f"{1e3 * report['sync_latency_s']:.0f} ms plus the delay",
        "",
        f"{'mode':<10}{'delay':>8}{'success':>11}{'95 % Wilson':>14}{'jump p50':>11}{'p95':>9}{'max':>9}"
        f"{'turn p95':>10}{'duration':>10}{'late':>12}{'holds':>7}",
    ]
    return "\n".join(lines + [_row(cell) for cell in report["cells"]])


def _row(cell: Mapping[str, Any]) -> str:
    head = f"{cell['mode']:<10}{1e3 * cell['added_delay_s']:>5.0f} ms"
    if "refused" in cell:
        return f"{head}  refused: {cell['refused']}"
    low, high = (100 * bound for bound in cell["wilson_95"])
    jumps = cell["seam_jumps"]
    p50, p95, largest = (_value(jumps[name], "mm") for name in ("p50_mm", "p95_mm", "max_mm"))
    success, interval = f"{cell['successes']} of {cell['episodes']}", f"{low:.0f} to {high:.0f} %"
    late = f"{cell['deadline_misses']} of {cell['deadlines']}"
    return (
        f"{head}{success:>11}{interval:>14}{p50:>11}{p95:>9}{largest:>9}{_value(jumps['p95_deg'], 'deg'):>10}"
        f"{cell['mean_duration_s']:>8.2f} s{late:>12}{cell['holds']:>7}"
    )


def _value(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.2f} {unit}"


def _parts(option: str, text: str) -> Sequence[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"{option} must be values separated by commas, none twice, not {text!r}")
    return parts


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"--delays must be seconds separated by commas, e.g. {DEFAULT_DELAYS}, not {text!r}"
        )
    return value
