import csv
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from disc_demonstrations import disc_episode

from glue_perception.errors import CheckpointError, ConfigError
from glue_perception.nets.compute import Device, Precision
from glue_policy.checkpoint import load_policy
from glue_policy.data.dataset import ChunkDataset
from glue_policy.policies import POLICIES, policy_config
from glue_policy.policies.base import Policy
from glue_policy.training.batches import Batches
from glue_policy.training.config import TrainConfig
from glue_policy.training.distributed import Workers
from glue_policy.training.ema import WeightAverage
from glue_policy.training.interrupt import DeferredInterrupt
from glue_policy.training.metrics import METRICS_FILE
from glue_policy.training.run_directory import RUN_FILE, STATE_FILE
from glue_policy.training.start import starting_policy
from glue_policy.training.trainer import Trainer

SHORT = TrainConfig(steps=6, batch_size=2, torch_threads=1, warmup_steps=2)


@pytest.fixture(scope="module")
def dataset() -> ChunkDataset:
    return ChunkDataset([disc_episode(seed) for seed in range(4)], horizon=16)


def dataset_for(name: str) -> ChunkDataset:
    """Two demonstrations of what a policy needs, points included."""
    config = policy_config(name, "tiny")
    rng = np.random.default_rng(0)
    episodes = [disc_episode(seed, config.image_size_px) for seed in range(2)]
    points = rng.uniform(0.2, 0.4, (len(episodes[0]), 256, 3)).astype(np.float32)
    return ChunkDataset([replace(e, points=points) for e in episodes], config.horizon)


def trainer_of(directory: Path, dataset: ChunkDataset, config: TrainConfig = SHORT) -> Trainer:
    return Trainer(config, starting_policy(config), dataset, directory, {"command": "test"})


def train(directory: Path, dataset: ChunkDataset, config: TrainConfig = SHORT) -> Path:
    return trainer_of(directory, dataset, config).run()


def interrupt_in_step(monkeypatch: pytest.MonkeyPatch, step: int, kind: signal.Signals) -> None:
    """Send the signal to this process from the middle of one step."""
    loss, calls = Policy.loss, []

    def interrupting(self: Policy, *args: object) -> torch.Tensor:
        calls.append(None)
        if len(calls) == step + 1:
            os.kill(os.getpid(), kind)
        return loss(self, *args)

    monkeypatch.setattr(Policy, "loss", interrupting)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("glue", signal.SIGINT),
        ("glue_s", signal.SIGTERM),
        ("dp", signal.SIGINT),
        ("act", signal.SIGTERM),
        ("dp3", signal.SIGINT),
    ],
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: signal.Signals
) -> None:
    config = replace(SHORT, policy=name, steps=4)
    dataset = dataset_for(name)
    straight = train(tmp_path / "straight", dataset, config)
    with monkeypatch.context() as patch:
        interrupt_in_step(patch, 1, kind)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "resumed", dataset, config)
    torch.rand(7)
    trainer = trainer_of(tmp_path / "resumed", dataset, config)
    assert trainer.step == 2, "the step under way is finished and kept"
    resumed = trainer.run()
    assert (resumed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    one, other = (torch.load(tmp_path / n / STATE_FILE, weights_only=True) for n in ("straight", "resumed"))
    assert all(torch.equal(one["policy"][k], other["policy"][k]) for k in one["policy"])
    assert load_policy(resumed).name == name


def test_every_policy_is_tested_for_that() -> None:
    [marks] = test_an_interrupted_run_ends_as_an_uninterrupted_one_bit_for_bit.pytestmark
    assert {name for name, _ in marks.args[1]} == set(POLICIES)


def test_the_loss_falls(tmp_path: Path) -> None:
    config = TrainConfig(policy="dp", steps=60, batch_size=4, torch_threads=1, warmup_steps=5)
    checkpoint = train(tmp_path, dataset_for("dp"), config)
    with (tmp_path / METRICS_FILE).open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 3
    assert losses[2] < 0.9 * losses[0]
    load_policy(checkpoint)


def test_a_loss_that_is_not_a_number_stops_and_spares_the_checkpoint(
    tmp_path: Path, dataset: ChunkDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, dataset)
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    torch.save(state | {"step": 3}, tmp_path / STATE_FILE)
    weights = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    loss = Policy.loss
    monkeypatch.setattr(Policy, "loss", lambda self, *args: loss(self, *args) * float("nan"))
    with pytest.raises(CheckpointError, match="step 3 gave loss nan"):
        train(tmp_path, dataset)
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == weights


def test_a_run_of_other_settings_is_not_mixed_in(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    with pytest.raises(ConfigError, match="other settings"):
        trainer_of(tmp_path, dataset, TrainConfig(steps=7, batch_size=2, torch_threads=1))


def test_a_run_on_other_demonstrations_is_not_mixed_in(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    others = ChunkDataset([disc_episode(seed) for seed in range(4, 8)], horizon=16)
    with pytest.raises(ConfigError, match="other training data: fingerprint was"):
        trainer_of(tmp_path, others)


def test_a_run_of_another_policy_is_not_mixed_in(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    path = tmp_path / RUN_FILE
    run = yaml.safe_load(path.read_text())
    run["policy"]["glue"]["encoder_depth"] = 2
    path.write_text(yaml.safe_dump(run))
    with pytest.raises(ConfigError, match=r"other architecture: glue\.encoder_depth was 2, now 3"):
        trainer_of(tmp_path, dataset)
    path.write_text(yaml.safe_dump(run | {"policy": {"dp": {}}}))
    with pytest.raises(ConfigError, match="other architecture: dp was"):
        trainer_of(tmp_path, dataset)


def test_where_and_how_fast_it_runs_may_change(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    other = replace(SHORT, max_minutes=60.0, torch_threads=2, device=Device.CPU, checkpoint_every_s=5.0)
    assert trainer_of(tmp_path, dataset, other).step == SHORT.steps


def test_a_full_disk_stops_with_the_earlier_state_kept(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    state = torch.load(tmp_path / STATE_FILE, weights_only=True)
    torch.save(state | {"step": 3}, tmp_path / STATE_FILE)
    before = {name: (tmp_path / name).read_bytes() for name in (STATE_FILE, "checkpoint/model.safetensors")}
    trainer = trainer_of(tmp_path, dataset)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses to let a file grow, as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"cannot write .*state\.pt.* make room"):
            trainer.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not list(tmp_path.glob("**/*.partial"))
    train(tmp_path, dataset)


def test_parts_of_a_batch_have_random_numbers_of_their_own(tmp_path: Path, dataset: ChunkDataset) -> None:
    config = replace(SHORT, batch_size=4, micro_batches=2)
    batches = Batches(dataset, config, Workers(), frozenset({"image"}))
    first, second = batches.parts(0)
    assert first.seed != second.seed
    assert first.batch["image"].shape == (2, 3, 224, 224)
    assert "row_col" not in first.batch, "what the policy does not read is not loaded"
    whole = Batches(dataset, replace(config, micro_batches=1), Workers(), frozenset())
    [both] = whole.parts(0)
    assert torch.equal(torch.cat([first.row, second.row]), both.row)
    assert trainer_of(tmp_path, dataset, config).run().is_dir()


def test_more_processes_than_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match="--micro-batches 3"):
        Workers().share(parts=4)


def test_fine_tuning_starts_with_the_checkpoint_and_its_normalisation(
    tmp_path: Path, dataset: ChunkDataset
) -> None:
    checkpoint = train(tmp_path / "first", dataset)
    old = load_policy(checkpoint)
    nearer = ChunkDataset([disc_episode(0)], horizon=16)
    config = replace(SHORT, steps=1, learning_rate=1e-9, init_from=str(checkpoint))
    new = load_policy(train(tmp_path / "second", nearer, config))
    assert torch.equal(new.action_range.half_range, old.action_range.half_range)
    for name, value in old.named_parameters():
        torch.testing.assert_close(new.get_parameter(name), value, atol=1e-6, rtol=0)


def test_fine_tuning_widens_the_normalisation_where_it_must(tmp_path: Path, dataset: ChunkDataset) -> None:
    checkpoint = train(tmp_path / "first", dataset)
    old = load_policy(checkpoint).action_range
    episode = disc_episode(0)
    higher = replace(episode, action=episode.action + np.eye(10, dtype=np.float32)[2])
    config = replace(SHORT, steps=1, init_from=str(checkpoint))
    new = load_policy(train(tmp_path / "second", ChunkDataset([higher], horizon=16), config)).action_range
    top, old_top = new.centre + new.half_range, old.centre + old.half_range
    assert top[2] == pytest.approx(higher.action[:, 2].max())
    torch.testing.assert_close(top[[0, 1]], old_top[[0, 1]])


def test_fine_tuning_from_another_policy_or_nothing_is_refused(tmp_path: Path) -> None:
    checkpoint = train(tmp_path, dataset_for("dp"), replace(SHORT, policy="dp", steps=1))
    with pytest.raises(ConfigError, match="holds policy 'dp', not 'glue'; give --policy dp"):
        starting_policy(replace(SHORT, init_from=str(checkpoint)))
    with pytest.raises(CheckpointError, match="no checkpoint"):
        starting_policy(replace(SHORT, init_from=str(tmp_path / "nothing")))
    with pytest.raises(ConfigError, match="unknown policy 'dq'"):
        starting_policy(replace(SHORT, policy="dq"))


def test_a_damaged_state_says_what_to_do(tmp_path: Path, dataset: ChunkDataset) -> None:
    train(tmp_path, dataset)
    (tmp_path / STATE_FILE).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="delete it to train anew"):
        trainer_of(tmp_path, dataset)


def test_the_time_limit_ends_the_run_with_a_checkpoint(tmp_path: Path, dataset: ChunkDataset) -> None:
    config = TrainConfig(steps=1000, max_minutes=1e-6, batch_size=2, torch_threads=1)
    trainer = trainer_of(tmp_path, dataset, config)
    load_policy(trainer.run())
    assert trainer.step == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", list(Precision))
def test_a_run_moves_between_gpu_and_cpu(tmp_path: Path, dataset: ChunkDataset, precision: Precision) -> None:
    config = replace(SHORT, device=Device.CUDA, precision=precision)
    checkpoint = train(tmp_path, dataset, config)
    assert load_policy(checkpoint).name == "glue"
    if precision is not Precision.FLOAT16:
        assert trainer_of(tmp_path, dataset, replace(config, device=Device.CPU)).step == SHORT.steps


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


def test_the_average_steps_in_and_out_without_a_trace() -> None:
    module = torch.nn.Linear(3, 1)
    module.bias.requires_grad_(False)
    average = WeightAverage(module, decay=0.9)
    assert "bias" not in average.values, "what is frozen needs no average"
    torch.nn.init.normal_(module.weight)
    own = module.weight.detach().clone()
    with average.applied(module):
        assert torch.equal(module.weight, average.values["weight"])
    assert torch.equal(module.weight, own)


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
    [
        ({"steps": 0}, "steps"),
        ({"max_minutes": 0.0}, "max_minutes"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"batch_size": 10, "micro_batches": 4}, "multiple of micro_batches, which is 4"),
        ({"precision": Precision.FLOAT16, "device": Device.CPU}, "float16 needs CUDA"),
        ({"cache_local_features": True}, "local_variants of at least 1"),
        ({"evaluate_every": -1}, "evaluate_every"),
    ],
)
def test_impossible_settings_name_the_value(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**change)
