import csv
import os
import signal
from pathlib import Path

import pytest
import torch
from disc_demonstrations import disc_episode

from glue_perception.errors import CheckpointError, ConfigError
from glue_policy.checkpoint import load_policy
from glue_policy.data.dataset import ChunkDataset
from glue_policy.policies.glue.modeling_glue import GluePolicy
from glue_policy.training.config import TrainConfig
from glue_policy.training.ema import WeightAverage
from glue_policy.training.interrupt import DeferredInterrupt
from glue_policy.training.trainer import METRICS_FILE, STATE_FILE, Trainer

SHORT = TrainConfig(steps=6, batch_size=2, torch_threads=1, warmup_steps=2)


@pytest.fixture(scope="module")
def dataset() -> ChunkDataset:
    return ChunkDataset([disc_episode(seed) for seed in range(4)], horizon=16)


def train(directory: Path, dataset: ChunkDataset, config: TrainConfig = SHORT) -> Path:
    return Trainer(config, dataset, directory, {"command": "test"}).run()


def interrupt_in_step(monkeypatch: pytest.MonkeyPatch, step: int, kind: signal.Signals) -> None:
    """Send the signal to this process from the middle of one step."""
    loss, calls = GluePolicy.loss, []

    def interrupting(self: GluePolicy, *args: object) -> torch.Tensor:
        calls.append(None)
        if len(calls) == step + 1:
            os.kill(os.getpid(), kind)
        return loss(self, *args)

    monkeypatch.setattr(GluePolicy, "loss", interrupting)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_as_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, dataset: ChunkDataset, monkeypatch: pytest.MonkeyPatch, kind: signal.Signals
) -> None:
    straight = train(tmp_path / "straight", dataset)
    with monkeypatch.context() as patch:
        interrupt_in_step(patch, 2, kind)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "resumed", dataset)
    trainer = Trainer(SHORT, dataset, tmp_path / "resumed", {"command": "test"})
    assert trainer.step == 3, "the step under way is finished and kept"
    resumed = trainer.run()
    assert (resumed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    one, other = (torch.load(tmp_path / n / STATE_FILE, weights_only=True) for n in ("straight", "resumed"))
    assert all(torch.equal(one["policy"][k], other["policy"][k]) for k in one["policy"])


def test_the_loss_falls(tmp_path: Path, dataset: ChunkDataset) -> None:
    config = TrainConfig(steps=40, batch_size=4, torch_threads=1, warmup_steps=5)
    checkpoint = train(tmp_path, dataset, config)
    with (tmp_path / METRICS_FILE).open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 2
    assert losses[1] < 0.9 * losses[0]
    load_policy(checkpoint)


def test_a_loss_that_is_not_a_number_stops_and_spares_the_checkpoint(
    tmp_path: Path, dataset: ChunkDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, dataset)
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    torch.save(state | {"step": 3}, tmp_path / STATE_FILE)
    weights = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    loss = GluePolicy.loss
    monkeypatch.setattr(GluePolicy, "loss", lambda self, *args: loss(self, *args) * float("nan"))
    with pytest.raises(CheckpointError, match="step 3 gave loss nan"):
        train(tmp_path, dataset)
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == weights


def test_a_run_of_other_settings_is_not_mixed_in(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    with pytest.raises(ConfigError, match="other settings"):
        Trainer(TrainConfig(steps=7, batch_size=2, torch_threads=1), dataset, tmp_path, {})


def test_a_damaged_state_says_what_to_do(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    (tmp_path / STATE_FILE).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="delete it to train anew"):
        Trainer(SHORT, dataset, tmp_path, {})


def test_the_time_limit_ends_the_run_with_a_checkpoint(tmp_path: Path, dataset: ChunkDataset) -> None:
    config = TrainConfig(steps=1000, max_minutes=1e-6, batch_size=2, torch_threads=1)
    trainer = Trainer(config, dataset, tmp_path, {})
    load_policy(trainer.run())
    assert trainer.step == 1


def test_metrics_of_steps_that_are_run_again_are_not_kept_twice(
    tmp_path: Path, dataset: ChunkDataset
) -> None:
    train(tmp_path, dataset)
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    torch.save(state | {"step": 3}, tmp_path / STATE_FILE)
    train(tmp_path, dataset)
    with (tmp_path / METRICS_FILE).open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["6"]


def test_the_average_follows_quickly_at_first_and_slowly_later() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = WeightAverage(module, decay=0.99)
    torch.nn.init.ones_(module.weight)
    average.update(module, step=0)
    assert average.values["weight"].item() == pytest.approx(0.9)
    for _ in range(100):
        average.update(module, step=10_000)
    assert average.values["weight"].item() == pytest.approx(1 - 0.1 * 0.99**100, abs=1e-5)
    average.copy_to(module)
    assert module.weight.item() == average.values["weight"].item()


def test_a_second_interrupt_does_not_wait() -> None:
    # A shell starts background jobs with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), DeferredInterrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupt.requested
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("not reached")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"steps": 0}, "steps"), ({"max_minutes": 0.0}, "max_minutes"), ({"ema_decay": 1.0}, "ema_decay")],
)
def test_impossible_settings_name_the_value(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**change)
