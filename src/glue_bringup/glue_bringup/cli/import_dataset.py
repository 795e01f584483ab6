"""`glue import`: a dataset of another project as bags that `glue train` reads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glue_bringup.task_config import TaskConfig
    from glue_perception.pipeline import PerceptionPipeline
    from glue_policy.data.interchange.record import Record


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `import`."""
    parser = subparsers.add_parser(
        "import",
        help="turn a LeRobot, robomimic or Diffusion Policy dataset into bags",
        description="Write each demonstration of a dataset as a bag. Where a dataset has no key-patches, the "
        "perception of --task is run over its images. What it must hold: docs/data.md.",
    )
    parser.add_argument(
        "format", metavar="FORMAT", help="lerobot (v3.0), robomimic (HDF5) or diffusion_policy (zarr)"
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="the dataset")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder of bags to make; must not exist")
    parser.add_argument(
        "--task", metavar="TASK", help="a shipped task or a task's YAML file: its name, queries, perception"
    )
    parser.add_argument(
        "--rate-hz", type=float, metavar="HZ", help="steps per second, where the dataset does not say it"
    )
    parser.add_argument("--camera", metavar="NAME", help="which of several cameras")
    parser.add_argument(
        "--actions",
        choices=("own", "next_pose"),
        default="own",
        help="own: absolute ones of 10 numbers; next_pose: the pose measured a step later; default: own",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Import and say what was written."""
    # Imported here so that `glue --help` answers at once.
    from contextlib import ExitStack

    from glue_bringup.task_config import load_task
    from glue_perception.pipeline import build_pipeline
    from glue_perception.redetection.config import RedetectionMode
    from glue_policy.data.interchange.base import ReadOptions
    from glue_policy.data.interchange.convert import import_dataset
    from glue_policy.data.interchange.formats import find_format

    source_format = find_format(args.format)
    options = ReadOptions(args.rate_hz, args.camera, own_actions=args.actions == "own")
    # Recorded or rendered images may repeat, which on a robot would mean that the camera hangs.
    task = load_task(args.task).for_simulation() if args.task is not None else None
    with ExitStack() as stack:
        pipeline = None
        if task is not None:
            pipeline = stack.enter_context(
                build_pipeline(task.perception, task.queries, RedetectionMode.WAIT)
            )

        def complete(record: Record) -> Record:
            return _completed(record, task, pipeline)

        count = import_dataset(source_format, args.source, args.out, options, complete)
    print(f"{count} demonstrations written to {args.out}")
    if task is not None:
        print(f"train on them: glue train {args.task} --data {args.out}")
    return 0


def _completed(record: Record, task: TaskConfig | None, pipeline: PerceptionPipeline | None) -> Record:
    """Return the record with a task's name and with key-patches."""
    from dataclasses import replace

    from glue_perception.errors import DatasetError, QueryError
    from glue_policy.data.interchange.perceive import with_key_patches

    if task is not None:
        record = replace(
            record, metadata={**record.metadata, "task": task.task, "instruction": task.instruction}
        )
    if not record.metadata.get("task"):
        raise DatasetError(f"{record.name} does not say its task; give it with --task")
    if record.key_patches is None:
        if pipeline is None:
            raise DatasetError(
                f"{record.name} has no key-patches; give --task, so that the task's perception finds and tracks its "
                "objects in the images"
            )
        try:
            record = with_key_patches(record, pipeline)
        except QueryError as error:
            raise QueryError(f"{record.name}: {error}") from error
    return record
