"""`glue train`: train a policy on recorded demonstrations."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from glue_perception.errors import ConfigError

_TYPES = {
    "preset": str,
    "steps": int,
    "max_minutes": float,
    "batch_size": int,
    "learning_rate": float,
    "seed": int,
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `train`."""
    parser = subparsers.add_parser(
        "train",
        help="train a policy on recorded demonstrations",
        description="Train GLUE on the bags in a directory. The same command goes on where it was interrupted.",
    )
    parser.add_argument("task", help="a shipped task, e.g. push_button, or a task's YAML file")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="bags, one per demonstration; default: data/TASK"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the run's directory; default: runs/TASK_PRESET"
    )
    parser.add_argument("--config", type=Path, metavar="F", help="YAML with any of the settings")
    for name, kind in _TYPES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=kind.__name__.upper())
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; exit code 130 after Ctrl-C, with the state saved."""
    # Before torch is loaded: spinning threads of its pool make training five times slower beside other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from glue_bringup.task_config import load_task
    from glue_perception.config import from_mapping, read_yaml
    from glue_policy.data.dataset import load_dataset
    from glue_policy.policies.glue.configuration_glue import GlueConfig
    from glue_policy.training.config import TrainConfig
    from glue_policy.training.trainer import Trainer

    task = load_task(args.task)
    given = {name: getattr(args, name) for name in _TYPES if getattr(args, name) is not None}
    settings = {**(read_yaml(args.config) if args.config is not None else {}), **given}
    config = from_mapping(TrainConfig, settings, str(args.config or "command line"))
    policy_config = GlueConfig.preset(config.preset)
    data = args.data or Path("data") / task.task
    if not data.is_dir() or not any(path.is_dir() for path in data.iterdir()):
        raise ConfigError(
            f"there are no demonstrations in {data}; make some with: "
            f"glue sim {task.task} --policy expert --sync --episodes 60 --noise-m 0.006 --record {data}"
        )
    dataset = load_dataset(
        data, policy_config.image_size_px, policy_config.horizon, 1.0 / task.policy.rate_hz
    )
    if dataset.task and dataset.task != task.task:
        raise ConfigError(f"the demonstrations in {data} are of task {dataset.task!r}, not {task.task!r}")
    out = args.out or Path("runs") / f"{task.task}_{config.preset}"
    record = {"task": task.task, "data": str(data), "command": shlex.join(["glue", *sys.argv[1:]])}
    trainer = Trainer(config, dataset, out, record)
    if trainer.step:
        print(f"going on from step {trainer.step} in {out}")
    checkpoint = trainer.run()
    print(f"checkpoint: {checkpoint} ({trainer.step} of {config.steps} steps)")
    print(f"try it: glue eval {task.task} --policy {checkpoint}")
    return 0
