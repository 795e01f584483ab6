"""`glue train`: train a policy on recorded demonstrations."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glue_bringup.cli.sim import positive_int
from glue_perception.errors import ConfigError

if TYPE_CHECKING:
    from glue_bringup.task_config import TaskConfig
    from glue_policy.data.dataset import ChunkDataset
    from glue_policy.data.from_bags import PointCloudSource
    from glue_policy.policies.base import Policy
    from glue_policy.training.config import TrainConfig

_VALUES: dict[str, tuple[type, str]] = {
    "policy": (str, "which policy, e.g. glue, glue_s, dp, act; default: glue"),
    "preset": (str, "of its architecture: tiny or paper; default: tiny"),
    "init_from": (str, "checkpoint to start with instead of a new network, for fine-tuning"),
    "steps": (int, "optimiser steps in all"),
    "max_minutes": (float, "stop earlier; the learning rate then ends with the time"),
    "batch_size": (int, "observations per step, over all processes together"),
    "micro_batches": (int, "parts of a batch whose gradients are averaged; default: one per process"),
    "learning_rate": (float, "its peak"),
    "precision": (str, "float32, bfloat16, or float16 on CUDA; default: bfloat16"),
    "device": (str, "auto, cpu or cuda; default: auto"),
    "torch_threads": (int, "of the network on a CPU, per process"),
    "seed": (int, "of weights, batches, augmentation and noise"),
    "evaluate_every": (int, "steps between evaluations in the synchronous twin; default: 0, none"),
    "evaluate_episodes": (int, "episodes of an evaluation; default: 20"),
    "local_variants": (
        int,
        "fixed versions of each image for a frozen local encoder; default: 0, ever new ones",
    ),
}
_SWITCHES = {
    "cache_local_features": "compute the frozen local features once; needs --local-variants",
    "tensorboard": "write TensorBoard event files too (needs tensorboardX)",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `train`."""
    parser = subparsers.add_parser(
        "train",
        help="train a policy on recorded demonstrations",
        description="Train a policy on the bags in a directory. The same command goes on where it was interrupted.",
    )
    parser.add_argument("task", help="a shipped task, e.g. push_button, or a task's YAML file")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="bags, one per demonstration; default: data/TASK"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the run's directory; default: runs/TASK_POLICY_PRESET"
    )
    parser.add_argument("--config", type=Path, metavar="F", help="YAML with any of the settings")
    parser.add_argument(
        "--processes",
        type=positive_int,
        default=1,
        metavar="N",
        help="processes on this machine, one per GPU; for several machines see docs/training.md; default: 1",
    )
    for name, (kind, text) in _VALUES.items():
        parser.add_argument(_option(name), type=kind, metavar=kind.__name__.upper(), help=text)
    for name, text in _SWITCHES.items():
        parser.add_argument(_option(name), action="store_const", const=True, help=text)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; exit code 130 after Ctrl-C, with the state saved."""
    # Before torch is loaded: spinning threads of its pool make training five times slower beside other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if args.processes > 1 and "RANK" not in os.environ:
        from glue_bringup.cli.processes import run_processes

        return run_processes(_arguments(args), args.processes)
    from glue_bringup.task_config import load_task
    from glue_policy.training.distributed import Workers
    from glue_policy.training.start import starting_policy
    from glue_policy.training.trainer import Trainer

    task = load_task(args.task)
    config = _config(args)
    policy = starting_policy(config)
    data = _demonstrations(args, task)
    name = f"{task.task}_{policy.name}_{config.preset if not config.init_from else 'tuned'}"
    out = args.out or Path("runs") / name
    evaluate = None
    if config.evaluate_every:
        from glue_bringup.loop.validation import Validation

        evaluate = Validation(task, config.evaluate_episodes, out, data)
    with Workers(config.device) as workers:
        dataset = _dataset(policy, task, data)
        record = {"task": task.task, "data": str(data), "command": shlex.join(["glue", *_arguments(args)])}
        trainer = Trainer(config, policy, dataset, out, record, evaluate, workers)
        if trainer.step and workers.is_first:
            print(f"going on from step {trainer.step} in {out}")
        checkpoint = trainer.run()
        if workers.is_first:
            _draw_curve(out)
            _say_what_came_out(task, config, checkpoint, trainer.step)
    return 0


def _draw_curve(run: Path) -> None:
    """Leave the curve in the run's directory; hours of training are not called failed for a picture."""
    from glue_bringup.experiment.training_curve import write_training_curve
    from glue_perception.errors import MissingDependencyError
    from glue_policy.training.evaluation import EVALUATIONS_FILE
    from glue_policy.training.metrics import METRICS_FILE

    try:
        path = write_training_curve(run, METRICS_FILE, EVALUATIONS_FILE)
    except (ConfigError, MissingDependencyError) as error:
        print(f"no loss curve: {error}")
        return
    if path is not None:
        print(f"loss curve: {path}")


def _config(args: argparse.Namespace) -> TrainConfig:
    """Return the settings of YAML and command line, the latter first."""
    from glue_perception.config import from_mapping, read_yaml
    from glue_policy.training.config import TrainConfig

    settings: dict[str, Any] = read_yaml(args.config) if args.config is not None else {}
    settings |= {n: getattr(args, n) for n in (*_VALUES, *_SWITCHES) if getattr(args, n) is not None}
    size = int(os.environ.get("WORLD_SIZE", "1"))
    settings.setdefault("micro_batches", size)
    if size > 1:
        on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        settings.setdefault("torch_threads", max(1, (os.cpu_count() or 1) // on_this_machine))
    return from_mapping(TrainConfig, settings, str(args.config or "command line"))


def _demonstrations(args: argparse.Namespace, task: TaskConfig) -> Path:
    data: Path = args.data or Path("data") / task.task
    if not data.is_dir() or not any(path.is_dir() for path in data.iterdir()):
        raise ConfigError(
            f"there are no demonstrations in {data}; make some with: "
            f"glue sim {task.task} --policy expert --sync --episodes 60 --noise-m 0.006 --record {data}"
        )
    return data


def _dataset(policy: Policy, task: TaskConfig, data: Path) -> ChunkDataset:
    from glue_policy.data.dataset import load_dataset

    dataset = load_dataset(
        data, policy.image_size_px, policy.config.horizon, 1.0 / task.policy.rate_hz, _point_clouds(policy)
    )
    if dataset.task and dataset.task != task.task:
        raise ConfigError(f"the demonstrations in {data} are of task {dataset.task!r}, not {task.task!r}")
    return dataset


def _point_clouds(policy: Policy) -> PointCloudSource | None:
    """Return how the policy's point clouds are made from depth, None if it reads none."""
    from glue_perception.config import to_mapping
    from glue_policy.data.from_bags import PointCloudSource
    from glue_policy.data.point_cloud import frame_points
    from glue_policy.policies.dp3.configuration_dp3 import Dp3Config

    if not isinstance(policy.config, Dp3Config):
        return None
    cloud = policy.config.cloud
    return PointCloudSource(lambda frame, pose: frame_points(frame, pose, cloud), to_mapping(cloud))


def _say_what_came_out(task: TaskConfig, config: TrainConfig, checkpoint: Path, steps: int) -> None:
    from glue_policy.training.evaluation import BEST_DIRECTORY

    print(f"checkpoint: {checkpoint} ({steps} of {config.steps} steps)")
    best = checkpoint.parent / BEST_DIRECTORY
    if best.is_dir():
        print(f"best of the evaluated ones: {best}")
        checkpoint = best
    print(f"try it: glue eval {task.task} --policy {checkpoint}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _arguments(args: argparse.Namespace) -> list[str]:
    """Return the command line that gives these arguments again, without the number of processes."""
    words = ["train", str(args.task)]
    for name in ("data", "out", "config", *_VALUES):
        value = getattr(args, name)
        if value is not None:
            words += [_option(name), str(value)]
    return words + [_option(name) for name in _SWITCHES if getattr(args, name)]
