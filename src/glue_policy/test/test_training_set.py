"""The training set on disk: made once, whole or not at all, made again when something changed."""

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disc_demonstrations import DT_NS, disc_episode, write_bag

from glue_perception.errors import BagError, ConfigError
from glue_policy.data import from_bags
from glue_policy.data.dataset import ChunkDataset, load_dataset
from glue_policy.data.episodes import load_episode
from glue_policy.data.from_bags import SETS_DIRECTORY, training_set_of
from glue_policy.data.npy_file import NpyAppender, open_rows
from glue_policy.data.training_set import INDEX_FILE, TrainingSet, TrainingSetWriter

STAMPS_NS = [1_000_000_000 + k * DT_NS for k in range(5)]
PLACE = Path(SETS_DIRECTORY) / "32px_100ms"


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    for k in range(3):
        write_bag(tmp_path / f"episode_{k}", STAMPS_NS[: 3 + k])
    return tmp_path


def made_from_bags(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the bags that `training_set_of` reads."""
    read: list[str] = []

    def spy(path: Path, *args: object) -> object:
        read.append(path.name)
        return load_episode(path, *args)

    monkeypatch.setattr(from_bags, "load_episode", spy)
    training_set_of(directory, 32, 0.1)
    return read


def test_the_set_on_disk_gives_the_batches_of_the_bags(bags: Path) -> None:
    episodes = [load_episode(bags / f"episode_{k}", 32) for k in range(3)]
    in_memory, on_disk = ChunkDataset(episodes, 4), load_dataset(bags, 32, 4, 0.1)
    index = torch.tensor([11, 0, 2, 3, 7, 7])
    one, other = in_memory.batch(index), on_disk.batch(index)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert torch.equal(one[name], other[name]), name
    assert on_disk.num_episodes == 3
    assert on_disk.fingerprint == in_memory.fingerprint
    assert torch.equal(on_disk.actions, in_memory.actions)


def test_rows_are_mapped_not_read(bags: Path) -> None:
    dataset = load_dataset(bags, 32, 4, 0.1)
    assert all(isinstance(a.base, np.memmap) or isinstance(a, np.memmap) for a in dataset.arrays.values())
    assert not dataset.arrays["image"].flags.writeable
    batch = dataset.batch(torch.tensor([0]))
    batch["image"][:] = 0  # a batch is a copy
    assert dataset.batch(torch.tensor([0]))["image"].max() > 0


def test_bags_are_read_once(bags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_from_bags(bags, monkeypatch) == ["episode_0", "episode_1", "episode_2"]
    assert made_from_bags(bags, monkeypatch) == []


@pytest.mark.parametrize("change", ["added", "removed", "written again", "outcome"])
def test_a_changed_folder_is_read_again_and_says_so(
    bags: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    before = training_set_of(bags, 32, 0.1)
    if change == "added":
        write_bag(bags / "episode_3", STAMPS_NS)
    elif change == "removed":
        shutil.rmtree(bags / "episode_0")
    else:
        shutil.rmtree(bags / "episode_1")
        kept = {"outcome": "success" if change == "written again" else "failure"}
        write_bag(bags / "episode_1", STAMPS_NS, metadata=kept)
    assert made_from_bags(bags, monkeypatch)
    assert "made again: the bags have changed" in capsys.readouterr().out
    after = training_set_of(bags, 32, 0.1)
    assert after.fingerprint != before.fingerprint
    assert len(before.arrays["image"][:]) == len(before), "who had the old set open goes on reading it"


def test_a_touched_bag_of_the_same_content_keeps_its_fingerprint_and_cache(bags: Path) -> None:
    before = ChunkDataset(training_set_of(bags, 32, 0.1), 4)
    kept = before.cache_path("features")
    assert kept is not None
    np.save(kept, np.zeros((len(before), 2), np.float32))
    os.utime(next((bags / "episode_0").glob("*.mcap")), ns=(1, 1))
    after = ChunkDataset(training_set_of(bags, 32, 0.1), 4)
    assert after.fingerprint == before.fingerprint
    assert after.cache_path("features") == kept
    assert kept.exists()
    shutil.rmtree(bags / "episode_0")
    changed = ChunkDataset(training_set_of(bags, 32, 0.1), 4)
    assert changed.cache_path("features") != kept
    assert not kept.exists(), "what belongs to no set is removed"


@pytest.mark.parametrize("damage", ["no index", "index", "array cut off", "array missing", "other format"])
def test_a_damaged_set_is_made_again(
    bags: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    expected = training_set_of(bags, 32, 0.1).fingerprint
    index, image = bags / PLACE / INDEX_FILE, bags / PLACE / "image.npy"
    if damage == "no index":
        index.unlink()
    elif damage == "index":
        index.write_text("{")
    elif damage == "array cut off":
        os.truncate(image, image.stat().st_size - 1)
    elif damage == "array missing":
        image.unlink()
    else:
        index.write_text(json.dumps(json.loads(index.read_text()) | {"format": "glue_training_set_0"}))
    assert len(made_from_bags(bags, monkeypatch)) == 3
    assert "made again" in capsys.readouterr().out
    assert training_set_of(bags, 32, 0.1).fingerprint == expected


def test_a_killed_writer_leaves_no_set_and_the_next_one_clears_up(
    bags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: Path, *args: object) -> object:
        if path.name == "episode_2":
            os.kill(os.getpid(), signal.SIGKILL)
        return load_episode(path, *args)

    monkeypatch.setattr(from_bags, "load_episode", die)
    process = multiprocessing.get_context("fork").Process(target=training_set_of, args=(bags, 32, 0.1))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert not (bags / PLACE).exists()
    assert list((bags / SETS_DIRECTORY).glob("*.partial-*"))
    monkeypatch.undo()
    assert len(training_set_of(bags, 32, 0.1)) == 12
    assert not list((bags / SETS_DIRECTORY).glob("*.partial-*"))


def test_of_two_processes_one_makes_the_set(bags: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=training_set_of, args=(bags, 32, 0.1)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(TrainingSet.open(bags / PLACE)) == 12
    assert sorted(p.name for p in (bags / SETS_DIRECTORY).iterdir()) == ["32px_100ms", "32px_100ms.lock"]


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="cannot follow"), TrainingSetWriter(tmp_path / "set") as writer:
        writer.add("a", disc_episode(0, 32))
        try:
            writer.add("b", disc_episode(0, 48))
        except ValueError as error:
            raise BagError(str(error)) from error
    assert list(tmp_path.iterdir()) == []


def test_the_index_says_what_is_there(bags: Path) -> None:
    write_bag(bags / "failed", STAMPS_NS, metadata={"outcome": "failure"})
    training_set_of(bags, 32, 0.1)
    index = json.loads((bags / PLACE / INDEX_FILE).read_text())
    assert index["task"] == "disc"
    assert index["asked"] == {"image_size_px": 32, "dt_s": 0.1, "points": None}
    assert index["num_episodes"] == 3
    assert index["num_steps"] == 12
    assert index["left_out"] == {"failed": "failure"}
    assert [e["steps"] for e in index["episodes"]] == [3, 4, 5]
    assert set(index["sources"]) == {"episode_0", "episode_1", "episode_2", "failed"}
    assert index["arrays"]["image"]["shape"] == [12, 3, 32, 32]


def test_the_fingerprint_follows_the_content() -> None:
    one, other = disc_episode(0, 32), disc_episode(1, 32)
    first = TrainingSet.from_episodes([one, other]).fingerprint
    assert TrainingSet.from_episodes([one, other]).fingerprint == first
    assert TrainingSet.from_episodes([other, one]).fingerprint != first
    moved = replace(one, action=one.action + np.float32(1e-6))
    assert TrainingSet.from_episodes([moved, other]).fingerprint != first


def test_an_attached_array_comes_with_the_batches(bags: Path) -> None:
    dataset = load_dataset(bags, 32, 4, 0.1)
    rows = np.arange(len(dataset), dtype=np.float32)[:, None]
    dataset.attach("local_features", rows)
    assert dataset.batch(torch.tensor([3, 1]))["local_features"].tolist() == [[3.0], [1.0]]
    with pytest.raises(BagError, match="holds 2 steps, the training set 12"):
        dataset.attach("other", rows[:2])
    with pytest.raises(BagError, match="already"):
        dataset.attach("image", rows)
    with pytest.raises(ConfigError, match="name"):
        dataset.cache_path("../somewhere")
    assert ChunkDataset([disc_episode(0, 32)], 4).cache_path("features") is None


def test_a_folder_that_cannot_be_written_says_what_to_do(bags: Path) -> None:
    (bags / SETS_DIRECTORY).write_text("in the way")
    with pytest.raises(BagError, match="copy them to a place that can be written"):
        training_set_of(bags, 32, 0.1)


def test_rows_appended_are_rows_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 2, 3)).astype(np.float32) for n in (1, 0, 300)]
    with NpyAppender(tmp_path / "a.npy", np.float32, (2, 3)) as file:
        for part in parts:
            file.append(part)
        with pytest.raises(ValueError, match="cannot follow"):
            file.append(parts[0][:, :1])
        with pytest.raises(TypeError):
            file.append(parts[0].astype(np.float64))
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.concatenate(parts))
    assert np.array_equal(open_rows(tmp_path / "a.npy"), np.concatenate(parts))
