"""Scripted experts, one per task, by name."""

from __future__ import annotations

from glue_bringup.sim.experts.base import Expert, ExpertAction
from glue_bringup.sim.experts.fold_towel import FoldTowelExpert
from glue_bringup.sim.experts.place_fruit import PlaceFruitExpert
from glue_bringup.sim.experts.push_button import PushButtonExpert
from glue_bringup.sim.experts.stack_block import StackBlockExpert
from glue_perception.config import suggest
from glue_perception.errors import ConfigError

__all__ = [
    "Expert",
    "ExpertAction",
    "FoldTowelExpert",
    "PlaceFruitExpert",
    "PushButtonExpert",
    "StackBlockExpert",
    "get_expert",
]

_EXPERTS: dict[str, type[Expert]] = {
    "push_button": PushButtonExpert,
    "stack_block": StackBlockExpert,
    "place_fruit": PlaceFruitExpert,
    "fold_towel": FoldTowelExpert,
}


def get_expert(task_name: str) -> Expert:
    """Return a new expert for that task.

    Raises:
        ConfigError: no expert for it; the message names the nearest task that has one.
    """
    if task_name not in _EXPERTS:
        raise ConfigError(f"no scripted expert for task {task_name!r}.{suggest(task_name, _EXPERTS)}")
    return _EXPERTS[task_name]()
