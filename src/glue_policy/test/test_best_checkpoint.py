"""Evaluations during training, and the checkpoint that did best."""

import csv
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from disc_demonstrations import disc_episode

from glue_perception.errors import CheckpointError, ConfigError
from glue_policy.checkpoint import WEIGHTS_FILE, load_policy
from glue_policy.data.dataset import ChunkDataset
from glue_policy.policies import policy_config
from glue_policy.training.config import TrainConfig
from glue_policy.training.evaluation import EVALUATIONS_FILE, BestCheckpoint, Evaluation
from glue_policy.training.start import starting_policy
from glue_policy.training.trainer import Trainer

CONFIG = TrainConfig(policy="dp", steps=5, batch_size=2, torch_threads=1, warmup_steps=1, evaluate_every=2)


@pytest.fixture(scope="module")
def dataset() -> ChunkDataset:
    return ChunkDataset(
        [disc_episode(seed, policy_config("dp", "tiny").image_size_px) for seed in range(2)], 16
    )


class Exam:
    """Evaluates with results that are given beforehand, by step; keeps the weights it was shown."""

    def __init__(self, successes: dict[int, int]) -> None:
        self.successes = successes
        self.weights: dict[int, bytes] = {}

    def __call__(self, checkpoint: Path, step: int, stop: Callable[[], bool]) -> Evaluation | None:
        load_policy(checkpoint)
        torch.set_num_threads(2)
        torch.rand(3)
        self.weights[step] = (checkpoint / WEIGHTS_FILE).read_bytes()
        return Evaluation(10, self.successes[step], {"first_seed": 7})


def trainer_of(directory: Path, dataset: ChunkDataset, exam: Exam, config: TrainConfig = CONFIG) -> Trainer:
    return Trainer(config, starting_policy(config), dataset, directory, {}, exam)


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / EVALUATIONS_FILE).open() as file:
        return list(csv.DictReader(file))


def test_the_best_weights_are_kept_with_their_evaluation(tmp_path: Path, dataset: ChunkDataset) -> None:
    exam = Exam({2: 4, 4: 9, 5: 6})
    trainer_of(tmp_path, dataset, exam).run()
    assert [(r["step"], r["successes"], r["success_rate"]) for r in rows(tmp_path)] == [
        ("2", "4", "0.4000"),
        ("4", "9", "0.9000"),
        ("5", "6", "0.6000"),
    ]
    assert (tmp_path / "best" / WEIGHTS_FILE).read_bytes() == exam.weights[4] != exam.weights[5]
    record = json.loads((tmp_path / "best" / "evaluation.json").read_text())
    assert record == {"step": 4, "episodes": 10, "successes": 9, "success_rate": 0.9, "first_seed": 7}
    load_policy(tmp_path / "best")


def test_evaluating_does_not_change_what_is_learnt(tmp_path: Path, dataset: ChunkDataset) -> None:
    trainer_of(tmp_path / "with", dataset, Exam({2: 1, 4: 1, 5: 1})).run()
    trainer_of(tmp_path / "without", dataset, Exam({}), replace(CONFIG, evaluate_every=0)).run()
    one, other = (tmp_path / n / "checkpoint" / WEIGHTS_FILE for n in ("with", "without"))
    assert one.read_bytes() == other.read_bytes()
    assert not (tmp_path / "without" / "best").exists()


def test_an_interrupted_evaluation_is_made_up_for(tmp_path: Path, dataset: ChunkDataset) -> None:
    class Interrupted(Exam):
        def __call__(self, checkpoint: Path, step: int, stop: Callable[[], bool]) -> Evaluation | None:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop()
            self.weights[step] = (checkpoint / WEIGHTS_FILE).read_bytes()
            return None

    first = Interrupted({})
    with pytest.raises(KeyboardInterrupt):
        trainer_of(tmp_path, dataset, first).run()
    assert not (tmp_path / EVALUATIONS_FILE).exists()
    exam = Exam({2: 5, 4: 5, 5: 5})
    trainer_of(tmp_path, dataset, exam).run()
    assert exam.weights[2] == first.weights[2], "the same weights are evaluated again"
    assert [r["step"] for r in rows(tmp_path)] == ["2", "4", "5"]
    assert json.loads((tmp_path / "best" / "evaluation.json").read_text())["step"] == 5, (
        "of equals, the later"
    )
    again = Exam({})
    trainer_of(tmp_path, dataset, again).run()
    assert not again.weights, "a finished run evaluates nothing twice"


def test_evaluations_of_steps_that_are_run_again_do_not_count(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    best = BestCheckpoint(tmp_path, step=0)
    for step, successes in ((10, 3), (20, 8)):
        (checkpoint / WEIGHTS_FILE).write_text(str(step))
        best.add(step, checkpoint, Evaluation(10, successes))
    best = BestCheckpoint(tmp_path, step=15)
    assert best.has(10)
    assert not best.has(20)
    (checkpoint / WEIGHTS_FILE).write_text("20 again")
    best.add(20, checkpoint, Evaluation(10, 5))
    assert [r["successes"] for r in rows(tmp_path)] == ["3", "5"]
    assert (tmp_path / "best" / WEIGHTS_FILE).read_text() == "20 again"


def test_a_damaged_record_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / EVALUATIONS_FILE).write_text("step,episodes\n1,x\n")
    with pytest.raises(CheckpointError, match="delete it to evaluate anew"):
        BestCheckpoint(tmp_path, step=5)


def test_evaluating_needs_something_to_evaluate_with(tmp_path: Path, dataset: ChunkDataset) -> None:
    with pytest.raises(ConfigError, match="evaluate_every"):
        Trainer(CONFIG, starting_policy(CONFIG), dataset, tmp_path, {})
