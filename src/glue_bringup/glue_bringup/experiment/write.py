"""Writes what an experiment gives: CSV, Markdown, plots."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from glue_bringup.experiment.analysis import cell_results
from glue_bringup.experiment.config import ExperimentConfig
from glue_bringup.experiment.episodes import EpisodeRow, csv_text
from glue_bringup.experiment.plan import Cell
from glue_bringup.experiment.plots import write_plots
from glue_bringup.experiment.report import markdown_report
from glue_bringup.experiment.run import rows_in_order
from glue_perception.errors import ConfigError, MissingDependencyError


def write_results(
    folder: Path, config: ExperimentConfig, cells: Sequence[Cell], rows: Sequence[EpisodeRow]
) -> list[EpisodeRow]:
    """Write `episodes.csv`, `report.md`, `success.png` and `success.svg`; return the rows in order.

    Without matplotlib the figures are left out, with a word on stderr: hours of episodes are not lost for a picture.

    Raises:
        ConfigError: a file cannot be written.
    """
    ordered = rows_in_order(config, cells, rows)
    if not ordered:
        return ordered
    _write(folder / "episodes.csv", csv_text(ordered))
    plots: list[Path] = []
    try:
        plots = write_plots(folder, cell_results(ordered))
    except MissingDependencyError as error:
        print(f"no plots: {error}", file=sys.stderr)
    _write(
        folder / "report.md", markdown_report(config, ordered, [p.name for p in plots if p.suffix == ".png"])
    )
    return ordered


def _write(path: Path, text: str) -> None:
    try:
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
