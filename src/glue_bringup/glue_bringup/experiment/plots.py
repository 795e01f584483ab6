"""The experiment's figure: success per cell with its Wilson interval, the paper's beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glue_bringup.experiment.analysis import CellResult
from glue_bringup.experiment.paper_results import paper_percent
from glue_perception.errors import ConfigError, MissingDependencyError

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Okabe and Ito's colours, and a shape each, so that no reader depends on colour."""

ENDINGS = (".png", ".svg")
_COLUMNS = 2


def write_plots(folder: Path, results: Sequence[CellResult]) -> list[Path]:
    """Write `success.png` and `success.svg`: a panel per task, conditions along x, a point per method.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        ConfigError: a file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"the plots need matplotlib ({error}); install it with: pip install matplotlib"
        ) from error
    tasks = list(dict.fromkeys(r.task for r in results))
    conditions = list(dict.fromkeys(r.condition for r in results))
    methods = list(dict.fromkeys(r.method for r in results))
    columns = min(_COLUMNS, len(tasks))
    lines = -(-len(tasks) // columns)
    panel_inches = max(2.6, (0.4 + 0.18 * len(methods)) * len(conditions))
    figure = Figure(figsize=(max(5.6, 1.0 + panel_inches * columns), 0.9 + 2.9 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for spare in panels[len(tasks) :]:
        spare.set_axis_off()
    for panel, task in zip(panels[: len(tasks)], tasks, strict=True):
        of_task = [r for r in results if r.task == task]
        _draw_panel(panel, task, of_task, conditions, methods)
    for panel in panels[::columns]:
        panel.set_ylabel("success [%]")
    entries: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    names = sorted(entries, key=lambda name: methods.index(name) if name in methods else len(methods))
    figure.legend(
        [entries[name] for name in names], names, loc="outside lower center", ncols=6, frameon=False
    )
    paths = [folder / f"success{ending}" for ending in ENDINGS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            # Without a date, the same results give the same file.
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise ConfigError(f"cannot write the plots to {folder}: {error.strerror}") from error
    return paths


def _draw_panel(
    panel: Any, task: str, results: Sequence[CellResult], conditions: Sequence[str], methods: Sequence[str]
) -> None:
    step = 0.8 / len(methods)
    paper_drawn = False
    for index, method in enumerate(methods):
        cells = [r for r in results if r.method == method]
        x = [conditions.index(r.condition) + step * (index - (len(methods) - 1) / 2) for r in cells]
        rates = [100 * r.rate for r in cells]
        # At 0 and 100 % the bound is the rate but for rounding, which must not make a length negative.
        below = [max(0.0, rate - 100 * r.interval[0]) for rate, r in zip(rates, cells, strict=True)]
        above = [max(0.0, 100 * r.interval[1] - rate) for rate, r in zip(rates, cells, strict=True)]
        panel.errorbar(
            x,
            rates,
            yerr=[below, above],
            fmt=MARKERS[index % len(MARKERS)],
            color=COLORS[index % len(COLORS)],
            markersize=6,
            capsize=3,
            linewidth=1.4,
            label=method,
        )
        papers = [(at, paper_percent(r.policy, r.task, r.condition)) for at, r in zip(x, cells, strict=True)]
        known = [(at, value) for at, value in papers if value is not None]
        if known:
            panel.plot(
                [at + 0.3 * step for at, _ in known],
                [value for _, value in known],
                "_",
                color=COLORS[index % len(COLORS)],
                markersize=11,
                markeredgewidth=2.2,
                alpha=0.6,
                label=None if paper_drawn else "paper (dashes)",
            )
            paper_drawn = True
    panel.set_title(task)
    panel.set_xticks(range(len(conditions)), conditions)
    panel.set_xlim(-0.6, len(conditions) - 0.4)
    panel.set_ylim(-4, 104)
    panel.grid(axis="y", color="0.88")
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
