"""The closing screen of a run: what happened, how fast, where to look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

STAGES = {
    "extraction": "find the objects (once)",
    "perception": "track key-patches, per frame",
    "capture_to_patches": "camera to key-patches",
    "encode": "encode observation",
    "sample": "sample chunk",
    "policy": "policy, whole step",
    "capture_to_chunk": "camera to action chunk",
    "control": "control tick",
    "control_lateness": "control tick begins late by",
}


def print_report(report: Mapping[str, Any], places: Mapping[str, Path | None]) -> None:
    """Print a report of `glue_bringup.loop.episode.summarise` for people."""
    console = Console(highlight=False)
    solved = report["successes"] == report["episodes"]
    low, high = (100 * bound for bound in report["wilson_95"])
    host = "in real time, through the robot's driver" if report["host"] == "protocol" else "synchronous twin"
    console.print()
    condition = report.get("condition", "in_domain")
    setting = "" if condition == "in_domain" else f", {condition}"
    console.print(f"[bold]{report['task']}[/] by {report['policy']} ({host}{setting})")
    console.print(
        f"  [bold {'green' if solved else 'yellow'}]{report['successes']} of {report['episodes']} succeeded[/]"
        + (f" ({low:.0f} to {high:.0f} %, 95 % Wilson)" if report["episodes"] > 1 else "")
    )
    missed, due = report["deadline_misses"], report["deadlines"]
    share = 100 * missed / due if due else 0.0
    console.print(
        f"  {report['control_hz']:.1f} chunks/s, {missed} of {due} deadlines missed ({share:.1f} %)"
    )
    console.print(f"  {report['perception_hz']:.1f} frames/s through perception")
    refused = sum(
        result.get("perception_events", {}).get("first_frame_refused", 0) for result in report["results"]
    )
    if refused:
        console.print(f"  objects not found in the first frame of {refused} episodes")
    for reason, count in _holds(report).items():
        console.print(f"  arm held {count} x: {reason}")
    console.print(_latency_table(report["latency_ms"]))
    for name, place in places.items():
        if place is not None:
            console.print(f"  {name}: {place}")


def _holds(report: Mapping[str, Any]) -> dict[str, int]:
    total: dict[str, int] = {}
    for result in report["results"]:
        for reason, count in result["holds"].items():
            total[reason] = total.get(reason, 0) + count
    return total


def _latency_table(latency_ms: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("  latency [ms]")
    for percentile in ("p50", "p95", "p99"):
        table.add_column(percentile, justify="right")
    for stage, title in STAGES.items():
        if stage in latency_ms:
            values = latency_ms[stage]
            table.add_row(f"  {title}", *(f"{values[p]:.1f}" for p in ("p50", "p95", "p99")))
    return table
