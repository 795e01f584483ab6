"""An episode that was recorded in the loop comes out of the replay bit for bit."""

import json

import numpy as np
import pytest

from glue_bringup.cli.main import main
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.sync_session import SyncSession
from glue_perception.bags.reader import BagReader

pytestmark = pytest.mark.render


@pytest.fixture(scope="module")
def bag(tmp_path_factory, untrained, short_task):
    path = tmp_path_factory.mktemp("replay") / "bag"
    with SyncSession(short_task, Pilot(short_task, str(untrained))) as session:
        session.run(5, path)
    return path


def test_bag_holds_the_whole_episode(bag) -> None:
    with BagReader(bag) as reader:
        frames = list(reader.frames())
        patches = list(reader.key_patches())
        chunks = list(reader.chunks())
        targets = list(reader.targets())
        assert reader.metadata["task"] == "push_button"
        assert reader.metadata["seed"] == "5"
        assert reader.metadata["outcome"] in {"success", "failure"}
    assert len(frames) == len(patches) == 45
    assert len(chunks) == 15
    assert len(targets) == pytest.approx(150, abs=2)
    stamps = {frame.stamp_ns for frame in frames}
    assert {chunk.stamp_ns for chunk in chunks} <= stamps
    assert max(np.abs(c.position_m).max() for c in chunks) < 1.0


def test_replay_reproduces_key_patches_and_chunks(bag, tmp_path) -> None:
    report_path, video = tmp_path / "report.json", tmp_path / "video.mp4"
    assert main(["replay", str(bag), "--report", str(report_path), "--video", str(video)]) == 0
    report = json.loads(report_path.read_text())
    assert report["frames"] == report["key_patches_compared"] == report["key_patches_identical"] == 45
    assert report["chunks_compared"] == report["chunks_identical"] == 15
    assert report["action_error"]["position_mm"]["max"] == 0.0
    assert report["latency_ms"]["perception"]["p50"] > 0
    assert video.stat().st_size > 1000


def test_replay_sees_a_difference(bag, tmp_path, untrained) -> None:
    """Another checkpoint gives other chunks: the comparison can fail."""
    import torch
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    other.mkdir()
    weights = load_file(untrained / "model.safetensors")
    weights["unet.last.1.bias"] += 0.05
    save_file(weights, other / "model.safetensors")
    (other / "config.yaml").write_text((untrained / "config.yaml").read_text())
    report_path = tmp_path / "report.json"
    assert main(["replay", str(bag), "--policy", str(other), "--report", str(report_path)]) == 0
    report = json.loads(report_path.read_text())
    assert report["key_patches_identical"] == report["key_patches_compared"]
    assert report["chunks_identical"] == 0
    assert report["action_error"]["position_mm"]["max"] > 0.1
    assert torch.get_num_threads() >= 1


def test_two_synchronous_runs_are_identical(tmp_path, untrained, short_task) -> None:
    results = []
    for name in ("a", "b"):
        with SyncSession(short_task, Pilot(short_task, str(untrained))) as session:
            session.run(9, tmp_path / name)
        with BagReader(tmp_path / name) as reader:
            results.append((list(reader.chunks()), list(reader.targets())))
    (chunks_a, targets_a), (chunks_b, targets_b) = results
    assert all(np.array_equal(a.position_m, b.position_m) for a, b in zip(chunks_a, chunks_b, strict=True))
    assert all(s == t and np.array_equal(T, U) for (s, T), (t, U) in zip(targets_a, targets_b, strict=True))
