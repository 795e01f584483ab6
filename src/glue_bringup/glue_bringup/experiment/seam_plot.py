"""The seam benchmark's figure: success and seam jumps over the added delay, a line per mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glue_bringup.experiment.plots import COLORS, MARKERS
from glue_perception.errors import ConfigError, MissingDependencyError


def write_seam_plot(path: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    """Write the figure.

    Args:
        path: Ends in .png or .svg.
        cells: `SeamCell.summary` of each; refused ones are left out.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        ConfigError: the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"the plot needs matplotlib ({error}); install it with: pip install matplotlib"
        ) from error
    flown = [cell for cell in cells if "refused" not in cell]
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    success, jumps = figure.subplots(1, 2)
    for index, mode in enumerate(dict.fromkeys(cell["mode"] for cell in flown)):
        _draw_mode(success, jumps, [cell for cell in flown if cell["mode"] == mode], mode, index)
    success.set_ylabel("success [%]")
    success.set_ylim(-4, 104)
    jumps.set_ylabel("seam jump, 95th percentile [mm]")
    jumps.set_ylim(bottom=0)
    for panel in (success, jumps):
        panel.set_xlabel("added delay [ms]")
        panel.grid(axis="y", color="0.88")
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    jumps.legend(frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _draw_mode(success: Any, jumps: Any, cells: Sequence[Mapping[str, Any]], mode: str, index: int) -> None:
    look = {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index % len(MARKERS)], "label": mode}
    # Beside each other, so that equal rates do not hide each other.
    at_ms = [1e3 * cell["added_delay_s"] + 9.0 * (index - 1) for cell in cells]
    rates = [100.0 * cell["successes"] / cell["episodes"] for cell in cells]
    bounds = [[100.0 * bound for bound in cell["wilson_95"]] for cell in cells]
    below = [max(0.0, rate - low) for rate, (low, _) in zip(rates, bounds, strict=True)]
    above = [max(0.0, high - rate) for rate, (_, high) in zip(rates, bounds, strict=True)]
    success.errorbar(at_ms, rates, yerr=[below, above], capsize=3, linewidth=1.4, **look)
    known = [(ms, cell["seam_jumps"]["p95_mm"]) for ms, cell in zip(at_ms, cells, strict=True)]
    known = [(ms, value) for ms, value in known if value is not None]
    jumps.plot([ms for ms, _ in known], [value for _, value in known], linewidth=1.4, **look)
