"""The picture that a training run leaves."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from glue_bringup.experiment.training_curve import write_training_curve
from glue_perception.errors import ConfigError

METRICS, EVALUATIONS = "metrics.csv", "evaluations.csv"
ORANGE_RGB = (0xD5, 0x5E, 0x00)


def write_metrics(run: Path, rows: int = 40) -> None:
    lines = [f"{10 * k},{0.1 * k:.3f},{1.0 / (1 + k):.6f}" for k in range(1, rows)]
    (run / METRICS).write_text("\n".join(["step,minutes,loss", *lines]) + "\n")


def has_orange(path: Path) -> bool:
    rgb = cv2.imread(str(path))[..., ::-1].astype(int)
    return bool((np.abs(rgb - ORANGE_RGB).sum(axis=-1) < 30).any())


def test_evaluations_are_drawn_where_there_are_any(tmp_path: Path) -> None:
    write_metrics(tmp_path)
    path = write_training_curve(tmp_path, METRICS, EVALUATIONS)
    assert path == tmp_path / "loss.png"
    assert not has_orange(path)
    (tmp_path / EVALUATIONS).write_text(
        "step,episodes,successes,success_rate,wilson_low,wilson_high\n200,4,3,0.7500,0.3006,0.9544\n"
    )
    assert write_training_curve(tmp_path, METRICS, EVALUATIONS) == path
    assert has_orange(path)


def test_a_run_without_rows_leaves_no_picture(tmp_path: Path) -> None:
    assert write_training_curve(tmp_path, METRICS, EVALUATIONS) is None
    (tmp_path / METRICS).write_text("step,minutes,loss\n")
    assert write_training_curve(tmp_path, METRICS, EVALUATIONS) is None
    assert not (tmp_path / "loss.png").exists()


@pytest.mark.parametrize("row", ["10,0.1", "10,0.1,much"])
def test_a_damaged_table_is_named(tmp_path: Path, row: str) -> None:
    (tmp_path / METRICS).write_text(f"step,minutes,loss\n{row}\n")
    with pytest.raises(ConfigError, match=r"metrics\.csv is damaged"):
        write_training_curve(tmp_path, METRICS, EVALUATIONS)
