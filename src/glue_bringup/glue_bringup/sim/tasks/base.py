"""What every task of the twin is: objects in the scene, a random layout, a test of success."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


class Task(Protocol):
    """A task. Holds no state of an episode; one instance serves many.

    Attributes:
        name: As in the task files, e.g. push_button.
        queries: One text query per task-relevant object (paper, III-B).
        hold_s: The goal counts as reached once it has held this long without a break; see `GoalWatch`.

    A task may also have `object_geoms`, a mapping of each query to the names of the geoms (or flexes) that are that
    object, the target first: conditions measure on them what is hidden and keep clear of them. Without it, the bodies
    that the task adds are taken in the order of its queries.
    """

    name: str
    queries: tuple[str, ...]
    hold_s: float

    def sample_layout(self, seed: int) -> Any:
        """Return the layout dataclass of episode `seed`: where the objects stand, base frame, metres."""
        ...

    def add_to_scene(self, scene: ET.Element) -> None:
        """Append the objects to the MJCF with this root: bodies to its worldbody, at any place, and assets."""
        ...

    def apply_layout(self, model: Any, data: Any, layout: Any) -> None:
        """Put the objects of a compiled MuJoCo model in their places and at rest."""
        ...

    def measure(self, model: Any, data: Any) -> Float[np.ndarray, "k"]:
        """Return numbers that say where the movable objects are now, for `truth`; always as many, at most 4096."""
        ...

    def truth(self, layout: Any, measured: Float[np.ndarray, "k"]) -> Any:
        """Return the layout with the movable objects where `measure` found them: what an expert is told."""
        ...

    def is_success(self, model: Any, data: Any) -> bool:
        """Return whether the goal is reached in this very state."""
        ...


@runtime_checkable
class ForcedTask(Protocol):
    """A task whose objects feel forces beside MuJoCo's own, in both twins."""

    def before_step(self, model: Any, data: Any) -> None:
        """Set `qfrc_applied` of the task's own joints; called before each millisecond of physics."""
        ...
