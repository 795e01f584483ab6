"""`glue demo`: one protocol-level episode with video, report and bag, and one screen about it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from glue_perception.errors import ConfigError

DEMO_SEED = 7


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `demo`."""
    parser = subparsers.add_parser(
        "demo",
        help="a simulated Franka presses a button by a learnt policy",
        description="Run push_button in real time through the robot's driver and leave a video, a report and a bag.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/demo"), metavar="DIR", help="default: out/demo"
    )
    parser.add_argument("--seed", type=int, default=DEMO_SEED, metavar="S", help=f"default: {DEMO_SEED}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; a second run replaces the first one's results."""
    from glue_bringup.cli.main import main

    bags = args.output / "bags"
    if args.output.exists() and not args.output.is_dir():
        raise ConfigError(f"--output {args.output} is a file; name a directory")
    shutil.rmtree(bags, ignore_errors=True)
    return main(
        [
            "sim", "push_button",
            "--seed", str(args.seed),
            "--record", str(bags),
            "--video", str(args.output / "video.mp4"),
            "--report", str(args.output / "report.json"),
        ]
    )  # fmt: skip
