"""Measures a graph of sim.launch.py as users start it: latencies, rates, memory, and how soon the arm is held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from glue_bringup.loop import graph_report
from glue_bringup.nodes.graph_probe import GraphProbe
from glue_bringup.task_config import TaskConfig
from glue_perception.config import to_mapping
from glue_perception.errors import HardwareError

DOMAIN_ID = 87
SETTLE_S = 5.0
LONG_S = 600.0
CREEP_M_S = 0.01
KILLED = ("perception_node", "policy_node", "task_node", "sim_node")
END_S = 60.0
STANDSTILL_S = 1.5


def measure(task: TaskConfig, duration_s: float, kills: int) -> dict[str, Any]:
    """Run the graph and return the report.

    The arm creeps, so that an episode lasts and the objects stay in view for the next one; that changes no latency.

    Args:
        task: To run.
        duration_s: Of the measurement, from some seconds after the first chunk.
        kills: How often each node is killed, and stopped without being killed, afterwards.

    Raises:
        HardwareError: the graph does not come up, or ends.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.yaml"
        path.write_text(yaml.safe_dump(to_mapping(_lasting(task))), encoding="utf-8")
        with _launched(path) as launch, GraphProbe(DOMAIN_ID) as probe:
            report = {"task": task.task, **_steady(launch, probe, duration_s)}
            for what, done in (("killed", _kill), ("stopped", _stop_and_go)):
                report[f"{what}_to_held_ms"] = {
                    node: [done(launch, probe, node) for _ in range(kills)] for node in KILLED if kills
                }
    return report


def _lasting(task: TaskConfig) -> TaskConfig:
    motion = replace(task.safety.motion, translation_velocity_m_s=CREEP_M_S)
    safety = replace(task.safety, motion=motion)
    return replace(task, max_duration_s=LONG_S, settle_s=LONG_S, safety=safety)


@contextmanager
def _launched(task: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["ros2", "launch", "glue_bringup", "sim.launch.py", f"task:={task}", "run:=false"]
    environment = {**os.environ, "GLUE_PYTHON": sys.executable, "ROS_DOMAIN_ID": str(DOMAIN_ID)}
    launch = subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)
    try:
        yield launch
    finally:
        launch.send_signal(signal.SIGINT)
        try:
            launch.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(launch.pid, signal.SIGKILL)


def _nodes(launch: subprocess.Popen[bytes]) -> dict[str, int]:
    """Return name -> process of the nodes that run now."""
    if launch.poll() is not None:
        raise HardwareError("the graph has ended; its last lines say why")
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == launch.pid and "glue_bringup.nodes" in words:
            found[words[words.index("glue_bringup.nodes") + 1]] = int(folder.name)
    return found


def _steady(launch: subprocess.Popen[bytes], probe: GraphProbe, duration_s: float) -> dict[str, Any]:
    over = probe.begin(seed=0)
    time.sleep(SETTLE_S)
    pids = _nodes(launch)
    before, chunks, late = _used(pids), _count(probe, "chunks"), _count(probe, "deadlines_missed")
    start_s, half = time.monotonic(), before
    while (elapsed_s := time.monotonic() - start_s) < duration_s:
        time.sleep(0.2)
        if over():
            over = probe.begin(seed=0)
        if half is before and elapsed_s > duration_s / 2:
            half = _used(pids)
    after = _used(pids)
    chunks, late = _count(probe, "chunks") - chunks, _count(probe, "deadlines_missed") - late
    latency_ms = graph_report.stages(probe.values)
    return {
        "duration_s": round(elapsed_s, 1),
        "chunks": chunks,
        "chunks_per_s": round(chunks / elapsed_s, 3),
        "late_share": round(late / max(chunks, 1), 5),
        "latency_ms": latency_ms,
        "overhead_ms": graph_report.overhead(latency_ms),
        "nodes": {
            name: {
                "cpu_share": round((after[name].cpu_s - before[name].cpu_s) / elapsed_s, 4),
                "rss_mb": round(after[name].rss_mb, 1),
                "rss_growth_mb": round(after[name].rss_mb - before[name].rss_mb, 1),
                "rss_growth_second_half_mb": round(after[name].rss_mb - half[name].rss_mb, 1),
            }
            for name in sorted(pids)
        },
    }


def _used(pids: dict[str, int]) -> dict[str, graph_report.Usage]:
    return {name: graph_report.usage(pid) for name, pid in pids.items()}


def _count(probe: GraphProbe, name: str) -> int:
    return int(probe.values.get("policy_node", {}).get(name, "0"))


def _kill(launch: subprocess.Popen[bytes], probe: GraphProbe, node: str) -> float:
    """Return how long [ms] after the node was killed the arm left off following."""
    probe.begin(seed=0)
    time.sleep(1.0)
    pid, servers = _nodes(launch)[node], probe.task_servers()
    held_ms = _held_after_ms(probe, pid, signal.SIGKILL)
    probe.until(f"a new {node}", lambda: _nodes(launch).get(node, pid) != pid)
    if node == "task_node":  # a goal for the old one would never be answered
        probe.until("the new task_node", lambda: probe.task_servers() - servers)
    time.sleep(SETTLE_S)
    return held_ms


def _stop_and_go(launch: subprocess.Popen[bytes], probe: GraphProbe, node: str) -> float:
    """Return how long [ms] after all threads of the node were stopped the arm left off following; let it go on."""
    over = probe.begin(seed=0)
    time.sleep(1.0)
    pid = _nodes(launch)[node]
    held_ms = _held_after_ms(probe, pid, signal.SIGSTOP)
    time.sleep(STANDSTILL_S)  # for the others to end the episode
    os.kill(pid, signal.SIGCONT)
    probe.until("the end of the episode", over)
    return held_ms


def _held_after_ms(probe: GraphProbe, pid: int, number: signal.Signals) -> float:
    heard, sent_ns = len(probe.events), time.time_ns()
    os.kill(pid, number)
    probe.until("a hold", lambda: any(mode != "active" for _, mode in probe.events[heard:]))
    held_ns = next(stamp_ns for stamp_ns, mode in probe.events[heard:] if mode != "active")
    return (held_ns - sent_ns) / 1e6
