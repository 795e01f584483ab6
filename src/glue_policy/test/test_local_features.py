"""Frozen local features, computed in every step or once."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disc_demonstrations import disc_episode

from glue_perception.errors import CheckpointError, ConfigError
from glue_perception.nets.compute import Precision
from glue_policy.data.dataset import ChunkDataset
from glue_policy.data.training_set import TrainingSetWriter
from glue_policy.policies import build_policy, policy_config
from glue_policy.policies.base import LOCAL_FEATURES
from glue_policy.training.config import TrainConfig
from glue_policy.training.distributed import Workers
from glue_policy.training.local_features import LocalFeatures
from glue_policy.training.metrics import METRICS_FILE
from glue_policy.training.precision import MixedPrecision
from glue_policy.training.start import starting_policy
from glue_policy.training.trainer import Trainer

CONFIG = TrainConfig(
    steps=3, batch_size=2, torch_threads=1, warmup_steps=1, local_variants=3, precision=Precision.FLOAT32
)
CACHED = replace(CONFIG, cache_local_features=True)
WORKERS = Workers()
PLAIN = MixedPrecision(Precision.FLOAT32, WORKERS.device)


@pytest.fixture
def dataset(tmp_path: Path) -> ChunkDataset:
    """Two demonstrations on disk."""
    with TrainingSetWriter(tmp_path / "sets" / "224px") as writer:
        for seed in range(2):
            writer.add(f"demonstration {seed}", disc_episode(seed))
        return ChunkDataset(writer.finish({}), horizon=16)


def cache_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "sets").glob("cache_*/*"))


def losses(directory: Path, dataset: ChunkDataset, config: TrainConfig) -> list[float]:
    Trainer(config, starting_policy(config), dataset, directory, {}).run()
    with (directory / METRICS_FILE).open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_training_from_the_cache_gives_the_same_loss(tmp_path: Path, dataset: ChunkDataset) -> None:
    computed = losses(tmp_path / "computed", dataset, CONFIG)
    assert not cache_files(tmp_path)
    cached = losses(tmp_path / "cached", dataset, CACHED)
    assert cached == pytest.approx(computed, rel=1e-5)
    [file] = cache_files(tmp_path)
    made_ns = file.stat().st_mtime_ns
    again = losses(tmp_path / "again", dataset, CACHED)
    assert again == cached
    assert file.stat().st_mtime_ns == made_ns, "the cache is made once"


def test_the_cache_holds_what_the_encoder_gives_for_each_version(
    tmp_path: Path, dataset: ChunkDataset
) -> None:
    policy = starting_policy(CACHED)
    LocalFeatures(policy, dataset, CACHED, PLAIN, WORKERS)
    [file] = cache_files(tmp_path)
    kept = np.load(file)
    assert kept.shape == (len(dataset), 3, 5, 128)
    batch = dataset.batch(torch.arange(len(dataset)))
    recorded = policy.local_features(batch["image"], batch["row_col"])
    torch.testing.assert_close(torch.from_numpy(kept[:, 0]), recorded, atol=1e-4, rtol=1e-4)
    assert np.abs(kept[:, 1] - kept[:, 0]).mean() > 0.01, "other versions are in another light"
    assert np.abs(kept[:, 2] - kept[:, 1]).mean() > 0.01


def test_given_features_take_the_place_of_the_image_s_own(dataset: ChunkDataset) -> None:
    policy = starting_policy(CONFIG).eval()
    observation = {k: v for k, v in dataset.batch(torch.arange(4)).items() if not k.startswith("action")}
    with torch.no_grad():
        own = policy.local_features(observation["image"], observation["row_col"])
        plain = policy.encode(observation)
        torch.testing.assert_close(policy.encode({**observation, LOCAL_FEATURES: own}), plain)
        assert not torch.allclose(policy.encode({**observation, LOCAL_FEATURES: own + 1.0}), plain)
        hidden = {**observation, "visible": torch.zeros_like(observation["visible"])}
        torch.testing.assert_close(policy.encode({**hidden, LOCAL_FEATURES: own}), policy.encode(hidden))


def test_another_encoder_seed_or_precision_has_another_cache(tmp_path: Path, dataset: ChunkDataset) -> None:
    policy = starting_policy(CACHED)
    LocalFeatures(policy, dataset, CACHED, PLAIN, WORKERS)
    LocalFeatures(policy, dataset, replace(CACHED, seed=1), PLAIN, WORKERS)
    LocalFeatures(policy, dataset, replace(CACHED, precision=Precision.BFLOAT16), PLAIN, WORKERS)
    policy.local_encoder.bias += 1.0
    LocalFeatures(policy, dataset, CACHED, PLAIN, WORKERS)
    assert len(cache_files(tmp_path)) == 4


def test_demonstrations_in_memory_are_cached_in_memory(tmp_path: Path) -> None:
    dataset = ChunkDataset([disc_episode(0)], horizon=16)
    computed = losses(tmp_path / "computed", dataset, CONFIG)
    assert losses(tmp_path / "cached", dataset, CACHED) == pytest.approx(computed, rel=1e-5)


def test_a_damaged_cache_is_named(tmp_path: Path, dataset: ChunkDataset) -> None:
    policy = starting_policy(CACHED)
    LocalFeatures(policy, dataset, CACHED, PLAIN, WORKERS)
    [file] = cache_files(tmp_path)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="delete the file"):
        LocalFeatures(policy, dataset, CACHED, PLAIN, WORKERS)


def test_a_policy_without_a_frozen_encoder_is_refused(dataset: ChunkDataset) -> None:
    policy = build_policy("dp", policy_config("dp", "tiny"))
    with pytest.raises(ConfigError, match="policy 'dp' has no frozen local encoder"):
        LocalFeatures(policy, dataset, CONFIG, PLAIN, WORKERS)
