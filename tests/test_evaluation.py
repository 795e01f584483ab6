"""`glue eval` and `glue sim --sync`: reports, and going on after an interruption."""

import json

import pytest

from glue_bringup.cli.main import main
from glue_bringup.loop.episode import EpisodeResult, HostKind, summarise
from glue_bringup.loop.progress import EpisodeProgress
from glue_perception.errors import ConfigError
from glue_perception.timing import LatencyRecorder

REPORT_KEYS = {
    "task", "episodes", "successes", "success_rate", "wilson_95", "control_hz", "deadline_misses", "latency_ms",
    "seed", "git_revision",
}  # fmt: skip


def result(seed: int, success: bool = True) -> EpisodeResult:
    return EpisodeResult(
        seed=seed, success=success, duration_s=4.0, frames=120, frames_missed=0, chunks=40, deadlines=40,
        deadline_misses=1, tracked_share=0.9, holds={"stale_frame": 1},
    )  # fmt: skip


@pytest.mark.render
def test_the_expert_through_supervisor_and_perception(tmp_path) -> None:
    report_path = tmp_path / "report.json"
    arguments = ["sim", "push_button", "--sync", "--policy", "expert", "--episodes", "3", "--seed", "40"]
    assert main([*arguments, "--report", str(report_path)]) == 0
    report = json.loads(report_path.read_text())
    assert report.keys() >= REPORT_KEYS
    assert report["successes"] == report["episodes"] == 3
    assert report["seed"] == 40
    assert 9.5 < report["control_hz"] < 10.5
    assert 29 < report["perception_hz"] < 31
    assert report["latency_ms"]["perception"].keys() == {"p50", "p95", "p99"}


@pytest.mark.render
def test_eval_goes_on_where_it_was_interrupted(tmp_path, capsys) -> None:
    report_path = tmp_path / "report.json"
    progress = EpisodeProgress(
        tmp_path / "report.episodes.jsonl",
        {"task": "push_button", "policy": "expert", "fingerprint": "expert"},
    )
    assert progress.load() == []
    progress.add(result(100_000, success=False))
    assert (
        main(["eval", "push_button", "--policy", "expert", "--episodes", "2", "--report", str(report_path)])
        == 0
    )
    report = json.loads(report_path.read_text())
    assert [r["success"] for r in report["results"]] == [False, True]
    assert not (tmp_path / "report.episodes.jsonl").exists()
    assert "1 of 2 succeeded" in capsys.readouterr().out


def test_progress_of_another_subject_is_not_mixed_in(tmp_path) -> None:
    path = tmp_path / "p.jsonl"
    first = EpisodeProgress(path, {"policy": "a"})
    first.load()
    first.add(result(1))
    assert [r.seed for r in EpisodeProgress(path, {"policy": "a"}).load()] == [1]
    assert EpisodeProgress(path, {"policy": "b"}).load() == []


def test_damaged_progress_is_refused(tmp_path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"policy": "a"}\n{"seed": ')
    with pytest.raises(ConfigError, match="delete it"):
        EpisodeProgress(path, {"policy": "a"}).load()


def test_summary_adds_up() -> None:
    latencies = LatencyRecorder()
    latencies.add("policy", 20.0)
    report = summarise("t", HostKind.SYNC, "p", 3, [result(3), result(4, False)], latencies, "abc")
    assert report["success_rate"] == 0.5
    assert report["control_hz"] == 10.0
    assert report["perception_hz"] == 30.0
    assert report["deadline_misses"] == 2
    low, high = report["wilson_95"]
    assert low == pytest.approx(0.0945, abs=1e-3)
    assert high == pytest.approx(0.9055, abs=1e-3)


@pytest.mark.render
def test_recording_goes_on_where_it_was_interrupted_and_loses_nothing(tmp_path, capsys) -> None:
    arguments = [
        "sim",
        "push_button",
        "--sync",
        "--policy",
        "expert",
        "--seed",
        "60",
        "--record",
        str(tmp_path),
    ]
    assert main([*arguments, "--episodes", "1"]) == 0
    aborted = tmp_path / "episode_000061"
    aborted.mkdir()
    (aborted / "half.mcap").write_bytes(b"cut off")
    finished = (tmp_path / "episode_000060" / "metadata.yaml").stat().st_mtime_ns
    assert main([*arguments, "--episodes", "2"]) == 0
    assert "2 of 2 succeeded" in capsys.readouterr().out
    assert (tmp_path / "episode_000060" / "metadata.yaml").stat().st_mtime_ns == finished
    assert (tmp_path / "episode_000061.earlier_1" / "half.mcap").read_bytes() == b"cut off"
    assert (tmp_path / "episode_000061" / "metadata.yaml").is_file()
