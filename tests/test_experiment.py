"""`glue eval EXPERIMENT.yaml`: paired cells, interruption, refusals, the report."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from glue_bringup.cli.main import main
from glue_bringup.experiment.analysis import cell_results, comparisons
from glue_bringup.experiment.config import ExperimentConfig
from glue_bringup.experiment.episodes import EpisodeFile, EpisodeRow, csv_text
from glue_bringup.experiment.plan import plan_cells
from glue_bringup.experiment.plots import write_plots
from glue_bringup.experiment.report import markdown_report
from glue_bringup.experiment.worker import run_episode
from glue_bringup.task_config import TASKS_DIRECTORY
from glue_perception.errors import CheckpointError, ConfigError


@pytest.fixture
def short_push_button(tmp_path: Path) -> Path:
    """push_button for a second, which is too short for anyone."""
    task = yaml.safe_load((TASKS_DIRECTORY / "push_button.yaml").read_text())
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump({**task, "max_duration_s": 1.0}))
    return path


def experiment_file(folder: Path, **changes: object) -> Path:
    content = {
        "name": "two_methods",
        "methods": {"expert": "expert", "ours": "{task}_tiny"},
        "tasks": ["push_button"],
        "conditions": ["in_domain", "light:1"],
        "episodes": 2,
        **changes,
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def row(method: str, seed: int, success: bool, condition: str = "in_domain", **changes: object) -> EpisodeRow:
    values = {
        "method": method, "task": "push_button", "condition": condition, "seed": seed, "success": success,
        "duration_s": 4.0, "tracked_share": 0.9, "frames": 120, "chunks": 40, "deadlines": 40,
        "deadline_misses": 1, "holds": 0, "hold_reasons": "", "perception_events": "", "failure": "",
        "policy": method, "checkpoint": method, "fingerprint": "f" * 64, "setting": "s" * 64,
        "git_revision": "abc", "versions": "torch=1", "wall_s": 1.0, "cpu_s": 1.0,
    }  # fmt: skip
    return EpisodeRow(**{**values, **changes})


def read_table(path: Path) -> list[dict[str, str]]:
    """The CSV without the source's revision, as somebody may commit while the test runs."""
    with path.open(newline="") as file:
        return [{k: v for k, v in line.items() if k != "git_revision"} for line in csv.DictReader(file)]


CONFIG = ExperimentConfig("x", {"glue": "a", "dp": "b"}, ("push_button",), episodes=8)


@pytest.mark.slow
@pytest.mark.render
def test_interrupted_and_resumed_gives_the_same_csv(tmp_path, short_push_button, capsys) -> None:
    experiment = experiment_file(tmp_path, tasks=[str(short_push_button)])
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert main(["eval", str(experiment), "--jobs", "2", "--output", str(whole)]) == 0
    assert "per second of processor time" in capsys.readouterr().out
    lines = (whole / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 8
    resumed.mkdir()
    # Six done in another order, the seventh cut off by a crash.
    (resumed / "episodes.jsonl").write_bytes(b"".join(reversed(lines[:6])) + lines[6][:100])
    assert main(["eval", str(experiment), "--output", str(resumed)]) == 0
    rows, rows_resumed = (read_table(folder / "episodes.csv") for folder in (whole, resumed))
    assert rows == rows_resumed
    assert [(r["condition"], r["method"], r["seed"]) for r in rows] == [
        (condition, method, str(100_000 + k))
        for method in ("expert", "ours")
        for condition in ("in_domain", "light:1")
        for k in (0, 1)
    ]
    assert {r["policy"] for r in rows} == {"expert", "glue"}
    assert {len(r["fingerprint"]) for r in rows if r["method"] == "ours"} == {64}
    report = (resumed / "report.md").read_text()
    assert "8 of 8 episodes" in report
    assert "paper 80 %" in report


@pytest.mark.render
def test_objects_that_are_not_found_are_a_failed_episode(tmp_path) -> None:
    task = yaml.safe_load((TASKS_DIRECTORY / "push_button.yaml").read_text())
    path = tmp_path / "blue.yaml"
    path.write_text(yaml.safe_dump({**task, "queries": ["blue button"]}))
    cell = plan_cells(ExperimentConfig("x", {"expert": "expert"}, (str(path),)))[0]
    result = run_episode(cell, 100_000)
    assert not result.success
    assert "blue button" in result.failure
    assert cell_results([result])[0].not_begun == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": {"ours": "push_button_tinny"}}, "push_button_tiny"),
        ({"conditions": ["cluter:2"]}, "clutter"),
        ({"conditions": ["clutter", "clutter:2"]}, "the same"),
        ({"tasks": ["push_buton"]}, "push_button"),
        ({"tasks": ["push_button", "push_button"]}, "twice"),
        ({"methods": {}}, "methods"),
        ({"reference": "theirs"}, "theirs"),
        ({"episodes": 0}, "episodes"),
        ({"metods": 1}, "metods"),
    ],
)
def test_one_clear_line_before_any_episode(tmp_path, capsys, changes, said) -> None:
    experiment = experiment_file(tmp_path, **changes)
    code = main(["eval", str(experiment), "--output", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code in (ConfigError.exit_code, CheckpointError.exit_code)
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_task_without_an_expert(tmp_path, capsys) -> None:
    task = yaml.safe_load((TASKS_DIRECTORY / "push_button.yaml").read_text())
    path = tmp_path / "wave.yaml"
    path.write_text(yaml.safe_dump({**task, "task": "wave"}))
    assert main(["eval", str(experiment_file(tmp_path, tasks=[str(path)]))]) == ConfigError.exit_code
    assert "method 'expert' at task 'wave': no scripted expert" in capsys.readouterr().err


def test_options_of_the_other_form_are_refused(tmp_path, capsys) -> None:
    assert main(["eval", str(experiment_file(tmp_path)), "--policy", "expert"]) == ConfigError.exit_code
    assert main(["eval", "push_button", "--jobs", "2"]) == ConfigError.exit_code
    assert capsys.readouterr().err.count("belongs to") == 2


def test_results_of_another_checkpoint_are_refused(tmp_path, capsys) -> None:
    experiment = experiment_file(tmp_path, methods={"expert": "expert"}, conditions=["in_domain"])
    out = tmp_path / "out"
    with EpisodeFile(out / "episodes.jsonl") as file:
        file.add(row("expert", 100_000, True, fingerprint="0" * 64))
    assert main(["eval", str(experiment), "--output", str(out)]) == ConfigError.exit_code
    assert "--redo" in capsys.readouterr().err
    with EpisodeFile(out / "episodes.jsonl") as file:
        assert len(file.rows) == 1


def test_another_run_in_the_same_folder_is_refused(tmp_path) -> None:
    path = tmp_path / "episodes.jsonl"
    with EpisodeFile(path), pytest.raises(ConfigError, match="another run"):
        EpisodeFile(path)


def test_a_damaged_line_is_named(tmp_path) -> None:
    path = tmp_path / "episodes.jsonl"
    with EpisodeFile(path) as file:
        file.add(row("glue", 1, True))
    path.write_bytes(path.read_bytes() + b'{"seed": 2}\n')
    with pytest.raises(ConfigError, match="line 2"):
        EpisodeFile(path)


def test_comparisons_are_paired_by_seed_and_corrected() -> None:
    ours = [row("glue", seed, seed < 7) for seed in range(8)]
    theirs = [row("dp", seed, seed == 7) for seed in reversed(range(8))]
    rows = ours + theirs + [row("glue", 99, True)]
    rows += [replace(r, condition="light:1") for r in ours] + [
        row("dp", s, s < 7, "light:1") for s in range(8)
    ]
    found = comparisons(CONFIG, rows)
    assert [(c.condition, c.first, c.second) for c in found] == [
        ("in_domain", "glue", "dp"),
        ("light:1", "glue", "dp"),
    ]
    first, second = found
    assert (first.counts.only_first, first.counts.only_second, first.counts.trials) == (7, 1, 8)
    assert first.p == pytest.approx(0.0703125)
    assert first.p_holm == pytest.approx(2 * first.p)
    assert (second.p, second.counts.both) == (1.0, 7)
    reference = comparisons(replace(CONFIG, reference="dp"), rows)
    assert [(c.first, c.second) for c in reference] == [("dp", "glue")] * 2


def test_report_and_csv_say_what_was_run() -> None:
    rows = [row("glue", k, k > 0) for k in range(8)] + [
        row("dp", k, False, failure="no button") for k in range(7)
    ]
    report = markdown_report(CONFIG, rows)
    assert "15 of 16 episodes" in report
    assert "Not complete" in report
    assert "7 of 8, 88 % (53 to 98)<br>*paper 80 %*" in report
    assert "0 of 7, 0 % (0 to 35)<br>*paper 20 %*" in report
    assert "7 x: no button" in report
    table = list(csv.DictReader(csv_text(rows).splitlines()))
    assert len(table) == 15
    assert "cpu_s" not in table[0]


def test_plots_are_pictures(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    rows = [row("glue", k, k > 0) for k in range(8)]
    rows += [row(f"all_{n}", k, True) for n in range(1, 30) for k in range(n)]
    rows += [row(f"none_{n}", k, False) for n in range(1, 30) for k in range(n)]
    paths = write_plots(tmp_path, cell_results(rows))
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in paths[1].read_text()


def test_rows_survive_the_file(tmp_path) -> None:
    path = tmp_path / "episodes.jsonl"
    with EpisodeFile(path) as file:
        file.add(row("glue", 1, True))
    path.write_bytes(path.read_bytes() + json.dumps({"method": "glue"}).encode()[:-3])
    with EpisodeFile(path) as file:
        assert file.rows == [row("glue", 1, True)]
        file.add(row("glue", 2, False))
    with EpisodeFile(path) as file:
        assert [r.seed for r in file.rows] == [1, 2]
