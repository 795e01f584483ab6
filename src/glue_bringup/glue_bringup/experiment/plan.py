"""From an experiment's file to its cells, with everything checked that can be before the first episode."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import yaml

from glue_bringup.experiment.config import ExperimentConfig
from glue_bringup.loop.pilot import EXPERT, Pilot
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.ood import get_condition
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.config import to_mapping
from glue_perception.errors import ConfigError, GlueError


@dataclass(frozen=True)
class Cell:
    """One method at one task under one condition.

    Attributes:
        method: As named in the experiment.
        task: The task's name.
        condition: Its canonical name.
        task_source: What `load_task` takes.
        checkpoint: What flies: `expert`, a directory, or the name of a shipped checkpoint.
        policy: Kind of policy in the checkpoint, e.g. glue, or `expert`.
        fingerprint: SHA-256 of the weights, or `expert`.
        setting: SHA-256 of the task's configuration and the condition, without the name of the checkpoint.
    """

    method: str
    task: str
    condition: str
    task_source: str
    checkpoint: str
    policy: str
    fingerprint: str
    setting: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Method, task and condition."""
        return self.method, self.task, self.condition


def plan_cells(config: ExperimentConfig) -> list[Cell]:
    """Return the cells: all conditions of a method, all methods of a task, then the next task.

    Raises:
        ConfigError: an unknown task or condition, two tasks of one name, or a task without an expert.
        CheckpointError: a checkpoint that is missing, damaged, or does not fit.
    """
    conditions = [get_condition(text).name for text in config.conditions]
    if len(set(conditions)) < len(conditions):
        raise ConfigError(f"two of the conditions {', '.join(config.conditions)} are the same")
    tasks: dict[str, tuple[str, TaskConfig]] = {}
    for source in config.tasks:
        task = load_task(source)
        if task.task in tasks:
            raise ConfigError(f"{tasks[task.task][0]} and {source} are both task {task.task!r}")
        tasks[task.task] = (source, task)
    cells = []
    for name, (source, task) in tasks.items():
        settings = {condition: _setting(task, condition) for condition in conditions}
        for method in config.methods:
            pilot = _pilot(config, method, task)
            for condition, setting in settings.items():
                cells.append(
                    Cell(
                        method=method,
                        task=name,
                        condition=condition,
                        task_source=source,
                        checkpoint=pilot.name,
                        policy=pilot.kind,
                        fingerprint=pilot.fingerprint,
                        setting=setting,
                    )
                )
    return cells


def _pilot(config: ExperimentConfig, method: str, task: TaskConfig) -> Pilot:
    """Return who flies, loaded and so checked."""
    name = config.checkpoint(method, task.task)
    try:
        if name == EXPERT:
            get_expert(task.task)
        return Pilot(task, name)
    except GlueError as error:
        raise type(error)(f"method {method!r} at task {task.task!r}: {error}") from error


def _setting(task: TaskConfig, condition: str) -> str:
    mapping = to_mapping(task.for_simulation())
    del mapping["policy"]["checkpoint"]
    text = yaml.safe_dump({"task": mapping, "condition": condition})
    return hashlib.sha256(text.encode()).hexdigest()
