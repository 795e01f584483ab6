"""`glue bench graph`: what the ROS 2 graph itself costs, and how soon the arm is held when a node dies."""

from __future__ import annotations

import argparse
from pathlib import Path

from glue_bringup.cli.sim import positive_int
from glue_perception.errors import ConfigError

MIN_DURATION_S = 5.0


def register(benches: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `graph` to `glue bench`."""
    parser = benches.add_parser(
        "graph",
        help="latencies, rates, memory and reactions of the ROS 2 graph in the twin",
        description="Start sim.launch.py, run episodes, and measure: from the camera's stamp to the published chunk, "
        "stage by stage; chunks per second and how many were late; processor and memory of every node; and, with "
        "--kills, how long after the death of each node the arm is held. Needs a sourced ROS 2 with the workspace "
        "built.",
    )
    parser.add_argument("--task", default="push_button", metavar="TASK", help="default: push_button")
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="of measurement; default: 60"
    )
    parser.add_argument(
        "--kills", type=positive_int, metavar="N", help="kill, and stop, each node N times; default: none"
    )
    parser.add_argument("--report", type=Path, required=True, metavar="FILE", help="report to write (JSON)")
    parser.set_defaults(run=run_graph)


def run_graph(args: argparse.Namespace) -> int:
    """Run `glue bench graph`; returns the exit code."""
    from glue_bringup.loop.graph_report import text
    from glue_bringup.loop.run import write_report
    from glue_bringup.sim.rendering import require_rendering
    from glue_bringup.task_config import load_task
    from glue_perception.errors import MissingDependencyError
    from glue_perception.provenance import provenance

    if args.seconds < MIN_DURATION_S:
        raise ConfigError(f"--seconds must be {MIN_DURATION_S:g} or more, not {args.seconds:g}")
    task = load_task(args.task)
    require_rendering()
    try:
        from glue_bringup.nodes.graph_bench import measure
    except ImportError as error:
        raise MissingDependencyError(
            f"the ROS 2 graph cannot be reached ({error}); run: source /opt/ros/jazzy/setup.bash and "
            "install/setup.bash of the workspace"
        ) from error
    report = measure(task, args.seconds, args.kills or 0)
    write_report(args.report, {**report, **provenance()})
    print(text(report))
    print(f"report {args.report}")
    return 0
