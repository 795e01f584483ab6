"""What `glue bench graph` makes of what nodes and the operating system say."""

import os
import sys
from pathlib import Path

import pytest

from glue_bringup.cli.main import main
from glue_bringup.loop.graph_report import Usage, overhead, stages, text, usage
from glue_bringup.loop.recent_latencies import RecentLatencies


def said(**stage_ms: tuple[float, ...]) -> dict[str, str]:
    latencies = RecentLatencies()
    for stage, durations_ms in stage_ms.items():
        for duration_ms in durations_ms:
            latencies.add(stage, duration_ms)
    return latencies.values()


def test_the_graphs_own_time_is_what_model_and_picture_leave() -> None:
    found = stages(
        {
            "sim_node": said(capture_to_image=(16.0,)),
            "perception_node": said(perception=(3.0,), capture_to_patches=(22.0,)),
            "policy_node": said(capture_to_chunk_less_policy=(25.0,), policy=(20.0,), unknown=(1.0,)),
        }
    )
    assert set(found) == {
        "capture_to_image",
        "perception",
        "capture_to_patches",
        "capture_to_chunk_less_policy",
        "policy",
    }
    assert overhead(found) == {"p50": 6.0, "p95": 6.0}


def test_a_process_that_works_uses_processor_time() -> None:
    before = usage(os.getpid())
    while usage(os.getpid()).cpu_s <= before.cpu_s:
        sum(range(100_000))
    assert isinstance(before, Usage) and before.rss_mb > 1.0
    with pytest.raises(OSError):
        usage(2**22 + 1)


def test_the_report_reads_as_text() -> None:
    shown = text(
        {
            "task": "push_button",
            "duration_s": 60.0,
            "chunks": 600,
            "chunks_per_s": 10.0,
            "late_share": 0.0125,
            "latency_ms": {"policy": {"p50": 20.0, "p95": 25.0}},
            "overhead_ms": {"p50": 8.0, "p95": 12.0},
            "nodes": {
                "arm_node": {
                    "cpu_share": 0.25,
                    "rss_mb": 150.0,
                    "rss_growth_mb": 0.5,
                    "rss_growth_second_half_mb": 0.1,
                }
            },
            "killed_to_held_ms": {"policy_node": [110.0, 120.4]},
            "stopped_to_held_ms": {"policy_node": [111.0]},
        }
    )
    for words in ("late 1.25 %", "25.0 % of a core", "+0.5 MB", "110, 120 ms"):
        assert words in shown


@pytest.mark.render
def test_without_ros_the_command_says_what_to_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "glue_bringup.nodes.graph_bench", None)
    report = tmp_path / "report.json"
    assert main(["bench", "graph", "--report", str(report)]) == 8
    assert "source /opt/ros/jazzy/setup.bash" in capsys.readouterr().err
    assert main(["bench", "graph", "--seconds", "1", "--report", str(report)]) == 2
    assert not report.exists()
