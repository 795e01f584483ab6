"""The tasks of the twin, by name."""

from __future__ import annotations

from glue_bringup.sim.tasks.base import Task
from glue_bringup.sim.tasks.fold_towel import FoldTowel
from glue_bringup.sim.tasks.place_fruit import PlaceFruit
from glue_bringup.sim.tasks.push_button import PushButton
from glue_bringup.sim.tasks.stack_block import StackBlock
from glue_perception.config import suggest
from glue_perception.errors import ConfigError

_TASKS: dict[str, type[Task]] = {
    "push_button": PushButton,
    "stack_block": StackBlock,
    "place_fruit": PlaceFruit,
    "fold_towel": FoldTowel,
}

TASK_NAMES = tuple(_TASKS)


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        ConfigError: no such task; the message names the nearest.
    """
    if name not in _TASKS:
        raise ConfigError(f"the simulation has no task {name!r}.{suggest(name, _TASKS)}")
    return _TASKS[name]()
