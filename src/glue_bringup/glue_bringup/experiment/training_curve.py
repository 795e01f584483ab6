"""A training run's curve: loss, and success where it was evaluated, over the steps, from the run's own tables."""

from __future__ import annotations

import csv
from pathlib import Path

from glue_bringup.experiment.plots import COLORS
from glue_perception.errors import ConfigError, MissingDependencyError

CURVE_FILE = "loss.png"
SMOOTHED_SHARE = 0.05
"""The line is the mean over so much of the run; the raw values are faint behind it."""


def write_training_curve(run: Path, metrics: str, evaluations: str) -> Path | None:
    """Write `loss.png` into a run's directory; return its path, None if the run has nothing to show yet.

    Args:
        run: The directory.
        metrics: Name of its table with columns `step` and `loss`.
        evaluations: Name of its table with columns `step`, `success_rate`, `wilson_low` and `wilson_high`; need not
            exist.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        ConfigError: a table is damaged, or the picture cannot be written.
    """
    loss = _columns(run / metrics, ("step", "loss"))
    if not loss["step"]:
        return None
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"the curve needs matplotlib ({error}); install it with: pip install matplotlib"
        ) from error
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.plot(loss["step"], loss["loss"], color=COLORS[0], alpha=0.3, linewidth=0.8)
    panel.plot(loss["step"], _smoothed(loss["loss"]), color=COLORS[0], linewidth=1.6)
    panel.set_xlabel("step")
    panel.set_ylabel("loss", color=COLORS[0])
    if min(loss["loss"]) > 0.0:
        panel.set_yscale("log")
    panel.grid(axis="y", color="0.88")
    panel.spines["top"].set_visible(False)
    found = _columns(run / evaluations, ("step", "success_rate", "wilson_low", "wilson_high"))
    if found["step"]:
        rates = [100 * rate for rate in found["success_rate"]]
        below = [max(0.0, r - 100 * low) for r, low in zip(rates, found["wilson_low"], strict=True)]
        above = [max(0.0, 100 * high - r) for r, high in zip(rates, found["wilson_high"], strict=True)]
        success = panel.twinx()
        success.errorbar(found["step"], rates, yerr=[below, above], fmt="o-", color=COLORS[4], capsize=3)
        success.set_ylabel("success [%]", color=COLORS[4])
        success.set_ylim(-4, 104)
        success.spines["top"].set_visible(False)
    path = run / CURVE_FILE
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return path


def _columns(path: Path, names: tuple[str, ...]) -> dict[str, list[float]]:
    if not path.exists():
        return {name: [] for name in names}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in names}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"cannot draw the training curve, as {path} is damaged: {error}") from error


def _smoothed(values: list[float]) -> list[float]:
    """Return the mean over the last few values at each place."""
    width = max(1, round(SMOOTHED_SHARE * len(values)))
    return [
        sum(part) / len(part) for k in range(len(values)) if (part := values[max(0, k + 1 - width) : k + 1])
    ]
