from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from disc_demonstrations import (
    DT_NS,
    HEIGHT_PX,
    KEY_PATCHES,
    WIDTH_PX,
    disc_episode,
    disc_observation,
    random_batch,
    write_bag,
)

from glue_perception.config import from_mapping
from glue_perception.errors import BagError, ConfigError
from glue_policy.checkpoint import load_policy, save_policy
from glue_policy.data.augmentation import AugmentationConfig, augment, jitter_colours
from glue_policy.data.dataset import ChunkDataset, load_dataset
from glue_policy.data.episodes import load_episode
from glue_policy.data.image import policy_image, relative_xy
from glue_policy.policies import build_policy, policy_config

STAMPS_NS = [1_000_000_000 + k * DT_NS for k in range(5)]


def test_an_episode_holds_the_demonstrated_steps_as_the_run_time_would_see_them(tmp_path: Path) -> None:
    episode = load_episode(write_bag(tmp_path / "bag", STAMPS_NS), 32)
    assert episode.stamp_ns.tolist() == STAMPS_NS
    assert episode.task == "disc"
    for k, stamp_ns in enumerate(STAMPS_NS):
        seen = disc_observation(k, stamp_ns)
        assert np.array_equal(episode.image[k], policy_image(seen.frame, 32))
        assert np.array_equal(episode.xy[k], relative_xy(seen.key_patches, seen.frame))
        assert np.array_equal(episode.row_col[k], seen.key_patches.row_col)
        expected = seen.robot_state.joint_position_rad.astype(np.float32)
        assert np.array_equal(episode.joint_position_rad[k], expected)
    np.testing.assert_allclose(episode.action[:, 0], 0.4 + 0.01 * np.arange(5), atol=1e-6)
    np.testing.assert_allclose(episode.action[0, 3:], [1, 0, 0, 0, -1, 0, 0.02], atol=1e-6)


@pytest.mark.parametrize("without", ["demonstrated_action", "key_patches", "robot_state", "frame"])
def test_a_bag_that_lacks_something_is_refused_by_name(tmp_path: Path, without: str) -> None:
    bag = write_bag(tmp_path / "bag", STAMPS_NS, without=without)
    words = {
        "demonstrated_action": "demonstrated",
        "frame": "holds nothing on .*image_raw",
        "robot_state": "holds nothing on .*robot_state",
    }
    with pytest.raises(BagError, match=words.get(without, "lacks key-patches")):
        load_episode(bag, 32)


def test_a_gap_is_refused_with_its_place(tmp_path: Path) -> None:
    stamps_ns = [*STAMPS_NS, STAMPS_NS[-1] + 3 * DT_NS]
    with pytest.raises(BagError, match=r"gap of 0.300 s after step 4"):
        load_episode(write_bag(tmp_path / "bag", stamps_ns), 32)


def test_a_folder_of_bags_is_read_in_order_and_whole(tmp_path: Path) -> None:
    for k in (1, 0):
        write_bag(tmp_path / f"episode_{k}", STAMPS_NS[: 3 + k])
    dataset = load_dataset(tmp_path, 32, 4, 0.1)
    assert len(dataset) == 7
    (tmp_path / "episode_2").mkdir()
    with pytest.raises(BagError, match="episode_2"):
        load_dataset(tmp_path, 32, 4, 0.1)


def test_only_successes_are_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bag(tmp_path / "good", STAMPS_NS, metadata={"outcome": "success", "task_config": "task: disc"})
    write_bag(tmp_path / "failed", STAMPS_NS, metadata={"outcome": "failure"})
    write_bag(tmp_path / "cut_off", STAMPS_NS, metadata={"task_config": "task: disc"})
    assert len(load_dataset(tmp_path, 32, 4, 0.1)) == 5
    said = capsys.readouterr().out
    assert "failure" in said
    assert "unfinished" in said


def test_no_demonstrations(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no demonstrations"):
        load_dataset(tmp_path / "nothing", 32, 4, 0.1)


def test_demonstrations_of_two_tasks_or_two_numbers_of_key_patches_do_not_go_together() -> None:
    episode = disc_episode(0, 32)
    with pytest.raises(BagError, match="task: disc, towel"):
        ChunkDataset([episode, replace(episode, task="towel")], 4)
    fewer = replace(episode, **{n: getattr(episode, n)[:, :3] for n in ("row_col", "xy", "visible")})
    with pytest.raises(BagError, match=f"key_patches: 3, {KEY_PATCHES}"):
        ChunkDataset([episode, fewer], 4)


def test_a_chunk_ends_with_its_episode_and_repeats_the_last_action() -> None:
    first, second = disc_episode(0, 32, length=6), disc_episode(1, 32, length=6)
    batch = ChunkDataset([first, second], horizon=4).batch(torch.tensor([1, 4, 6]))
    assert np.array_equal(batch["action"][0].numpy(), first.action[1:5])
    assert np.array_equal(batch["action"][1].numpy(), first.action[[4, 5, 5, 5]])
    assert batch["action_valid"].tolist() == [[True] * 4, [True, True, False, False], [True] * 4]
    assert np.array_equal(batch["action"][2].numpy(), second.action[:4])
    assert np.array_equal(batch["image"][2].numpy(), second.image[0].transpose(2, 0, 1))


def test_a_key_point_lies_on_the_same_thing_in_the_frame_and_in_the_policy_image() -> None:
    observation = disc_observation(3, 0)
    image = policy_image(observation.frame, 112)
    red = cv2.inRange(image, (180, 0, 0), (255, 80, 80))
    for x, y in relative_xy(observation.key_patches, observation.frame):
        assert red[int(y * 112), int(x * 112)] == 255
    assert observation.frame.rgb.shape[:2] == (HEIGHT_PX, WIDTH_PX)


def test_augmentation_returns_a_changed_copy_in_range() -> None:
    batch = random_batch(64, 32, 16)
    before = {k: v.clone() for k, v in batch.items()}
    changed = augment(batch, torch.Generator().manual_seed(0))
    assert all(torch.equal(batch[k], before[k]) for k in batch)
    assert changed["image"].min() >= 0.0
    assert changed["image"].max() <= 255.0
    assert (changed["image"] - before["image"].float()).abs().mean() > 1.0
    assert ((changed["xy"] >= 0) & (changed["xy"] <= 1)).all()
    assert not (changed["visible"] & ~before["visible"]).any(), "what is hidden must not be shown"
    assert changed["visible"].sum() < before["visible"].sum()
    for name in ("action", "action_valid", "joint_position", "row_col"):
        assert torch.equal(changed[name], before[name])


def test_augmentation_is_seeded() -> None:
    batch = random_batch(4, 32, 16)
    first, again = (augment(batch, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(first[k], again[k]) for k in first)


def test_light_changes_each_image_as_a_whole() -> None:
    # One gain and offset per image and channel: pixels of one value stay of one value.
    batch = random_batch(4, 8, 16)
    batch["image"][:] = 100
    changed = augment(batch, torch.Generator().manual_seed(0))["image"]
    assert (changed.amax(dim=(2, 3)) - changed.amin(dim=(2, 3))).max() < 1e-3
    assert changed[:, :, 0, 0].std() > 1.0


def test_zero_strengths_change_nothing() -> None:
    batch = random_batch(4, 32, 16)
    nothing = AugmentationConfig(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    changed = augment(batch, torch.Generator().manual_seed(0), nothing)
    assert torch.equal(changed["image"], batch["image"].float())
    assert all(torch.equal(changed[name], batch[name]) for name in batch if name != "image")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("brightness", "image"),
        ("contrast", "image"),
        ("channel", "image"),
        ("hide_all_share", "visible"),
        ("hide_one_share", "visible"),
        ("keypoint_jitter", "xy"),
    ],
)
def test_each_strength_changes_its_own_part(name: str, key: str) -> None:
    batch = random_batch(32, 16, 16)
    zeros = dict.fromkeys(AugmentationConfig.__dataclass_fields__, 0.0)
    config = from_mapping(AugmentationConfig, zeros | {name: 0.1}, "test")
    changed = augment(batch, torch.Generator().manual_seed(0), config)
    differing = [k for k in batch if not torch.equal(changed[k].to(batch[k].dtype), batch[k])]
    assert differing == [key]


def test_hiding_has_the_shares_asked_for() -> None:
    batch = random_batch(4000, 8, 16)
    batch["visible"][:] = True
    config = AugmentationConfig(hide_one_share=0.2, hide_all_share=0.1)
    visible = augment(batch, torch.Generator().manual_seed(0), config)["visible"]
    assert (~visible).all(dim=1).float().mean() == pytest.approx(0.1, abs=0.02)
    some = visible[visible.any(dim=1)]
    assert (~some).float().mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("wrong", [{"brightness": -0.1}, {"hide_one_share": 1.5}, {"keypoint_jitter": 0.5}])
def test_impossible_strengths_are_named(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        from_mapping(AugmentationConfig, wrong, "run.yaml")


def test_light_drawn_as_zero_leaves_the_image() -> None:
    image = random_batch(2, 8, 4)["image"]
    torch.testing.assert_close(jitter_colours(image, torch.zeros(2, 5)), image.float(), atol=1e-3, rtol=0)


def test_normalisation_is_saved_with_the_weights(tmp_path: Path) -> None:
    dataset = ChunkDataset([disc_episode(seed, 112) for seed in range(2)], 16)
    policy = build_policy("glue", policy_config("glue", "tiny"))
    policy.fit_ranges(dataset.actions, dataset.joint_positions)
    save_policy(tmp_path / "checkpoint", policy, {})
    before, after = policy.state_dict(), load_policy(tmp_path / "checkpoint").state_dict()
    names = [name for name in before if name.endswith((".centre", ".half_range"))]
    assert len(names) == 4
    assert all(torch.equal(before[name], after[name]) for name in names)
    low, high = dataset.actions.amin(dim=0), dataset.actions.amax(dim=0)
    centre = next(before[name] for name in names if name.endswith(".centre") and len(before[name]) == 10)
    torch.testing.assert_close(centre, (low + high) / 2)
