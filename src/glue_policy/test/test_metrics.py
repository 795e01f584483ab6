"""The record of a run."""

import builtins
import csv
from pathlib import Path

import pytest

from glue_perception.errors import CheckpointError, MissingDependencyError
from glue_policy.training.metrics import METRICS_FILE, TENSORBOARD_DIRECTORY, MetricsLog


def write(log: MetricsLog, step: int, loss: float) -> None:
    log.collect(loss + 0.1, 1.0, 0.2)
    log.collect(loss - 0.1, None, 0.4)
    assert log.write(step, 0.5, 1e-3) == pytest.approx(loss)


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / METRICS_FILE).open() as file:
        return list(csv.DictReader(file))


def test_a_row_holds_the_means_since_the_last(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0, tensorboard=False)
    write(log, 20, 0.7)
    write(log, 40, 0.4)
    assert [row["loss"] for row in rows(tmp_path)] == ["0.700000", "0.400000"]
    assert rows(tmp_path)[1] == {
        "step": "40",
        "minutes": "0.500",
        "loss": "0.400000",
        "learning_rate": "1.000e-03",
        "gradient_norm": "1.0000",
        "seconds_per_step": "0.3000",
    }


def test_rows_of_later_steps_and_half_rows_are_dropped(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0, tensorboard=False)
    for step in (20, 40, 60):
        write(log, step, 0.5)
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write("30,0.5,0.")
    MetricsLog(tmp_path, 45, tensorboard=False)
    assert [row["step"] for row in rows(tmp_path)] == ["20", "40"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0, tensorboard=False)
    (tmp_path / METRICS_FILE).symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"No space left on device.*MB are free"):
        write(log, 20, 0.5)


def test_without_tensorboard_s_writer_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *args: object) -> object:
        if name == "tensorboardX":
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match="pip install tensorboardX"):
        MetricsLog(tmp_path, 0, tensorboard=True)


def test_tensorboard_gets_the_same_values(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event

    log = MetricsLog(tmp_path, 0, tensorboard=True)
    write(log, 20, 0.7)
    log.add_event("evaluation/success_rate", 0.9, 20)
    log.close()
    [path] = (tmp_path / TENSORBOARD_DIRECTORY).glob("events.*")
    data, found, at = path.read_bytes(), {}, 0
    while at < len(data):  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + length])
        at += length + 16
        found |= {value.tag: (event.step, value.simple_value) for value in event.summary.value}
    assert found["train/loss"] == (20, pytest.approx(0.7))
    assert found["evaluation/success_rate"] == (20, pytest.approx(0.9))
