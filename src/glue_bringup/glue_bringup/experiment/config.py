"""What an experiment is: one YAML file that names methods, tasks and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glue_perception.config import read_yaml, suggest
from glue_perception.errors import ConfigError

FIRST_SEED = 100_000
"""Far from the seeds of demonstrations, so that no layout is seen in training."""

IN_DOMAIN = "in_domain"
TASK_FIELD = "{task}"


@dataclass(frozen=True)
class ExperimentConfig:
    """Methods x tasks x conditions, each cell with the same seeds.

    Attributes:
        name: Names the results' folder and heads the report.
        methods: Name of a method -> `expert`, a checkpoint's directory, or the name of a shipped one; `{task}` in it
            becomes the task's name, as every task has checkpoints of its own (paper, V-A).
        tasks: Shipped tasks or tasks' YAML files.
        conditions: As in `glue_bringup.sim.ood`, e.g. in_domain, clutter:2, light:3.
        episodes: Of every cell; episode k has seed first_seed + k in all cells, which makes them pairs.
        first_seed: Far from the demonstrations' by default.
        jobs: Processes; each needs a core.
        reference: The method that all others are compared with; empty for every pair.

    Raises:
        ConfigError: a list that is empty or names something twice, or a number out of range.
    """

    name: str
    methods: dict[str, str]
    tasks: tuple[str, ...]
    conditions: tuple[str, ...] = (IN_DOMAIN,)
    episodes: int = 50
    first_seed: int = FIRST_SEED
    jobs: int = 1
    reference: str = ""

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "_-." for c in self.name) or self.name[0] == ".":
            raise ConfigError(f"name must consist of letters, digits, '_', '-' and '.', not {self.name!r}")
        for key in ("methods", "tasks", "conditions"):
            words = list(getattr(self, key))
            if not words or any(not word for word in words):
                raise ConfigError(f"{key} must name at least one, and none may be empty")
            twice = sorted({word for word in words if words.count(word) > 1})
            if twice:
                raise ConfigError(f"{key} names {', '.join(twice)} twice")
        if not 1 <= self.episodes <= 100_000:
            raise ConfigError(f"episodes must lie in 1..100000, not {self.episodes}")
        if self.first_seed < 0:
            raise ConfigError(f"first_seed must not be negative, not {self.first_seed}")
        if not 1 <= self.jobs <= 256:
            raise ConfigError(f"jobs must lie in 1..256, not {self.jobs}")
        if self.reference and self.reference not in self.methods:
            raise ConfigError(
                f"reference {self.reference!r} is not among the methods.{suggest(self.reference, self.methods)}"
            )

    @property
    def seeds(self) -> range:
        """The seeds of every cell."""
        return range(self.first_seed, self.first_seed + self.episodes)

    def checkpoint(self, method: str, task: str) -> str:
        """Return what flies for a method at the task of this name."""
        return self.methods[method].replace(TASK_FIELD, task)


def describes_experiment(name_or_path: str) -> bool:
    """Return whether this names an experiment's file rather than a task.

    Raises:
        ConfigError: a YAML file that cannot be read.
    """
    if not name_or_path.endswith((".yaml", ".yml")):
        return False
    return "methods" in read_yaml(Path(name_or_path))
