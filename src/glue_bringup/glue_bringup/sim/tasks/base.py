"""What every task of the twin is: objects in the scene, a random layout, a test of success."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any, Protocol


class Task(Protocol):
    """A task. Holds no state of an episode; one instance serves many.

    Attributes:
        name: As in the task files, e.g. push_button.
        queries: One text query per task-relevant object (paper, III-B).

    A task may also have `object_geoms`, a mapping of each query to the names of the geoms (or flexes) that are that
    object, the target first: conditions measure on them what is hidden and keep clear of them. Without it, all that
    the task adds counts as one object.
    """

    name: str
    queries: tuple[str, ...]

    def sample_layout(self, seed: int) -> Any:
        """Return the layout dataclass of episode `seed`: where the objects stand, base frame, metres."""
        ...

    def add_to_scene(self, world: ET.Element) -> None:
        """Append the objects to the MJCF worldbody, at any place."""
        ...

    def apply_layout(self, model: Any, data: Any, layout: Any) -> None:
        """Put the objects of a compiled MuJoCo model in their places and at rest."""
        ...

    def is_success(self, model: Any, data: Any) -> bool:
        """Return whether the goal is reached in this very state."""
        ...
