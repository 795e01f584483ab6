"""The record of a run: one row in `metrics.csv` every few steps, and TensorBoard's event files on request."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from glue_perception.errors import MissingDependencyError
from glue_policy.training.files import replaced_when_complete, writing

METRICS_FILE = "metrics.csv"
TENSORBOARD_DIRECTORY = "tensorboard"
COLUMNS = ("step", "minutes", "loss", "learning_rate", "gradient_norm", "seconds_per_step")
_FORMATS = ("d", ".3f", ".6f", ".3e", ".4f", ".4f")


class MetricsLog:
    """Writes what a run measures.

    Args:
        directory: Of the run.
        step: Where the run goes on; rows of later steps are dropped, as those steps are run again.
        tensorboard: Write event files too.

    Raises:
        MissingDependencyError: TensorBoard is asked for, but its writer is not installed.
        CheckpointError: the files cannot be written.
    """

    def __init__(self, directory: Path, step: int, tensorboard: bool) -> None:
        self._path = directory / METRICS_FILE
        self._writer: Any = _event_writer(directory / TENSORBOARD_DIRECTORY, step) if tensorboard else None
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._seconds: list[float] = []
        self._drop_after(step)

    def collect(self, loss: float, gradient_norm: float | None, seconds: float) -> None:
        """Take note of one step; float16's scaler leaves some without a gradient."""
        self._losses.append(loss)
        self._seconds.append(seconds)
        if gradient_norm is not None:
            self._norms.append(gradient_norm)

    def write(self, step: int, minutes: float, learning_rate: float) -> float:
        """Append a row with the means since the last one and return the loss's.

        Raises:
            CheckpointError: it cannot be written.
        """
        values = {
            "minutes": minutes,
            "loss": mean(self._losses),
            "learning_rate": learning_rate,
            "gradient_norm": mean(self._norms) if self._norms else math.nan,
            "seconds_per_step": mean(self._seconds),
        }
        for collected in (self._losses, self._norms, self._seconds):
            collected.clear()
        row = {"step": step, **values}
        is_new = not self._path.exists()
        with writing(self._path), self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(COLUMNS)
            writer.writerow([format(row[name], spec) for name, spec in zip(COLUMNS, _FORMATS, strict=True)])
        for name, value in values.items():
            self.add_event(f"train/{name}", value, step)
        return values["loss"]

    def add_event(self, name: str, value: float, step: int) -> None:
        """Write a value for TensorBoard alone, if it was asked for."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is held back."""
        if self._writer is not None:
            self._writer.close()

    def _drop_after(self, step: int) -> None:
        if not self._path.exists():
            return
        head, *rows = self._path.read_text(encoding="utf-8").splitlines()
        # A full disk may have cut the last row short.
        whole = [row for row in rows if row.count(",") == head.count(",")]
        kept = [row for row in whole if int(row.split(",")[0]) <= step]
        with replaced_when_complete(self._path) as partial:
            partial.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")


def _event_writer(directory: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            "TensorBoard's event files need tensorboardX: pip install tensorboardX; "
            "metrics.csv is written without it"
        ) from error
    return SummaryWriter(str(directory), purge_step=step)
