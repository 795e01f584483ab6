"""What `glue bench graph` says of a graph, from what its nodes and the operating system say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGESIZE")
STAGES = {
    "sim_node": ("capture_to_image",),
    "perception_node": ("perception", "capture_to_patches"),
    "policy_node": ("policy", "capture_to_chunk", "capture_to_chunk_less_policy"),
    "arm_node": ("control", "control_lateness"),
}
"""Stages of latency that each node measures, see `RecentLatencies`."""


@dataclass(frozen=True)
class Usage:
    """What a process has used.

    Attributes:
        cpu_s: Processor time since its start, of all its threads.
        rss_mb: Resident memory.
    """

    cpu_s: float
    rss_mb: float


def usage(pid: int) -> Usage:
    """Return what a process has used; OSError if it has ended. Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / TICKS_PER_S, resident * PAGE_BYTES / 2**20)


def stages(values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Return stage -> p50 and p95 [ms] from the diagnostics of the nodes; what was not measured is left out."""
    return {
        stage: {p: float(values[node][f"{stage}_{p}_ms"]) for p in ("p50", "p95")}
        for node, names in STAGES.items()
        for stage in names
        if f"{stage}_p50_ms" in values.get(node, {})
    }


def overhead(latency_ms: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return what the graph itself takes from the camera's stamp to the published chunk [ms].

    That is everything but the model (the policy's step, taken off chunk by chunk, and the tracker's, by its median)
    and the drawing of the picture in the twin (by its median). What the latter two take beyond their medians counts
    as the graph's, so p95 is an upper bound.
    """
    others = latency_ms["perception"]["p50"] + latency_ms["capture_to_image"]["p50"]
    return {p: latency_ms["capture_to_chunk_less_policy"][p] - others for p in ("p50", "p95")}


def text(report: Mapping[str, Any]) -> str:
    """Return the report for people."""
    lines = [f"{report['task']}, {report['duration_s']:.0f} s, {report['chunks']} chunks"]
    lines += [
        f"{name:30} p50 {p['p50']:7.2f} ms   p95 {p['p95']:7.2f} ms"
        for name, p in report["latency_ms"].items()
    ]
    own = report["overhead_ms"]
    lines += [
        f"{'graph alone':30} p50 {own['p50']:7.2f} ms   p95 {own['p95']:7.2f} ms",
        f"chunks {report['chunks_per_s']:.2f} /s, late {100 * report['late_share']:.2f} %",
    ]
    lines += [
        f"{name:30} {100 * n['cpu_share']:5.1f} % of a core   {n['rss_mb']:7.1f} MB, {n['rss_growth_mb']:+.1f} MB, "
        f"{n['rss_growth_second_half_mb']:+.1f} MB of it in the second half"
        for name, n in report["nodes"].items()
    ]
    lines += [
        f"{what} {name:22} held after {', '.join(f'{ms:.0f}' for ms in held)} ms"
        for what in ("killed", "stopped")
        for name, held in report[f"{what}_to_held_ms"].items()
    ]
    return "\n".join(lines)
