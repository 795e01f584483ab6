"""The best checkpoint of a run: the averaged weights that solved the task most often on new placements.

The paper evaluates every 100 epochs on 100 new placements and reports the best epoch (V-A). How a checkpoint is
tried out is given from outside, since the twin lives in another package. Placements that choose the best checkpoint
must not be those that judge it afterwards: a maximum over several evaluations is too good by chance.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glue_perception.errors import CheckpointError
from glue_policy.evaluation.statistics import wilson_interval
from glue_policy.training.files import replaced_when_complete, writing

EVALUATIONS_FILE = "evaluations.csv"
BEST_DIRECTORY = "best"
EVALUATION_RECORD = "evaluation.json"
_COLUMNS = ("step", "episodes", "successes", "success_rate", "wilson_low", "wilson_high")


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        episodes: How many were run.
        successes: How many of them ended in success.
        report: Whatever else belongs on record, as JSON values.
    """

    episodes: int
    successes: int
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def success_rate(self) -> float:
        """Share of successes."""
        return self.successes / self.episodes


Evaluate = Callable[[Path, int, Callable[[], bool]], Evaluation | None]
"""Given a checkpoint's directory, its step, and a function that says whether to stop early, returns what it found, or
None if it was stopped. It must be seeded, and go on where it was stopped when called with the same checkpoint."""


class BestCheckpoint:
    """Keeps the record of a run's evaluations, and the checkpoint that did best; of equals, the later one.

    Args:
        directory: Of the run.
        step: Where the run goes on; evaluations of later steps do not count, as those are trained again.

    Raises:
        CheckpointError: the record of earlier evaluations is damaged.
    """

    def __init__(self, directory: Path, step: int) -> None:
        self._directory = directory
        self._path = directory / EVALUATIONS_FILE
        self._found = {s: found for s, found in self._read().items() if s <= step}

    def has(self, step: int) -> bool:
        """Return whether the weights after this step were evaluated."""
        return step in self._found

    def note(self, step: int, found: Evaluation) -> None:
        """Take an evaluation into account without writing anything."""
        self._found[step] = found

    def add(self, step: int, checkpoint: Path, found: Evaluation) -> None:
        """Put an evaluation on record, and keep a copy of its checkpoint if none did better.

        Raises:
            CheckpointError: something cannot be written; the evaluation then counts as not done.
        """
        if all(found.success_rate >= other.success_rate for other in self._found.values()):
            self._keep(step, checkpoint, found)
        rows = {**self._found, step: found}
        with (
            replaced_when_complete(self._path) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for number, each in rows.items():
                low, high = wilson_interval(each.successes, each.episodes)
                shares = [f"{value:.4f}" for value in (each.success_rate, low, high)]
                writer.writerow([number, each.episodes, each.successes, *shares])
        self._found = rows

    def _keep(self, step: int, checkpoint: Path, found: Evaluation) -> None:
        best = self._directory / BEST_DIRECTORY
        partial = best.with_name(best.name + ".partial")
        record = {
            "step": step,
            "episodes": found.episodes,
            "successes": found.successes,
            "success_rate": found.success_rate,
            **found.report,
        }
        with writing(best):
            shutil.rmtree(partial, ignore_errors=True)
            try:
                shutil.copytree(checkpoint, partial)
                (partial / EVALUATION_RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
                if best.exists():
                    shutil.rmtree(best)
                partial.rename(best)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def _read(self) -> dict[int, Evaluation]:
        if not self._path.exists():
            return {}
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                rows = csv.DictReader(file)
                return {int(r["step"]): Evaluation(int(r["episodes"]), int(r["successes"])) for r in rows}
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise CheckpointError(f"{self._path} is damaged ({error}); delete it to evaluate anew") from error
