"""What must not be trained on is refused while it is read, with what was found and what to do."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from disc_demonstrations import DOWN_6D, DT_NS, demonstrated, disc_observation, robot_state, write_bag

from glue_perception.bags import messages, robot_messages
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError
from glue_perception.types import ActionChunk, CameraFrame
from glue_policy.data.dataset import load_dataset
from glue_policy.data.episodes import EpisodeArrays, load_episode
from glue_policy.data.from_bags import PointCloudSource
from glue_policy.data.training_set import SameEverywhere

STAMPS_NS = [1_000_000_000 + k * DT_NS for k in range(5)]
T_BASE_CAMERA = {"T_base_camera": json.dumps(np.eye(4).tolist())}


def centre_point(frame: CameraFrame, T_base_camera: np.ndarray) -> np.ndarray:
    """A point cloud of one point: what the camera's centre sees."""
    assert frame.depth_m is not None
    depth_m = frame.depth_m[frame.height_px // 2, frame.width_px // 2]
    return T_base_camera[:3, 3][None] + [[0.0, 0.0, depth_m]]


POINTS = PointCloudSource(centre_point, {"num_points": 1})


def bag_of(path: Path, change: object = None, metadata: dict[str, str] | None = None) -> Path:
    """A good bag, but for what `change` makes of step 2's (frame, key_patches, state, action)."""
    with BagWriter(path, {"task": "disc"} | (metadata or {})) as bag:
        for k, stamp_ns in enumerate(STAMPS_NS):
            seen = disc_observation(k, stamp_ns)
            parts = [seen.frame, seen.key_patches, robot_state(stamp_ns), demonstrated(stamp_ns)]
            if k == 2 and callable(change):
                parts = change(*parts)
            bag.frame(parts[0])
            bag.key_patches(parts[1])
            bag.robot_state(parts[2])
            bag.demonstrated_action(parts[3])
    return path


def test_images_of_two_sizes_in_one_bag(tmp_path: Path) -> None:
    def smaller(frame, *rest):
        return [CameraFrame(frame.stamp_ns, "camera", frame.rgb[:24, :32], np.eye(3)), *rest]

    with pytest.raises(BagError, match="64 x 48 px, then 32 x 24 px at 1200000000 ns; record at one size"):
        load_episode(bag_of(tmp_path / "bag", smaller), 32)


def test_images_of_two_sizes_in_two_bags(tmp_path: Path) -> None:
    bag_of(tmp_path / "a")
    with BagWriter(tmp_path / "b", {"task": "disc"}) as bag:
        for k, stamp_ns in enumerate(STAMPS_NS):
            seen = disc_observation(k, stamp_ns)
            bag.frame(CameraFrame(stamp_ns, "camera", seen.frame.rgb[:24], np.eye(3)))
            bag.key_patches(seen.key_patches)
            bag.robot_state(robot_state(stamp_ns))
            bag.demonstrated_action(demonstrated(stamp_ns))
    with pytest.raises(BagError, match=r"image size \[px\]: 64 x 24, 64 x 48 \(first met in b, a\)"):
        load_dataset(tmp_path, 32, 4, 0.1)


def test_a_varying_number_of_key_patches(tmp_path: Path) -> None:
    def fewer(frame, patches, *rest):
        names = ("row_col", "xy_px", "visible", "health", "query_index")
        return [frame, replace(patches, **{n: getattr(patches, n)[:3] for n in names}), *rest]

    with pytest.raises(BagError, match=r"varying number of key-patches: \[3, 5\]"):
        load_episode(bag_of(tmp_path / "bag", fewer), 32)


def test_an_action_of_another_length(tmp_path: Path) -> None:
    def longer(frame, patches, state, action):
        two = ActionChunk(action.stamp_ns, 0.1, np.zeros((2, 3)), np.stack([DOWN_6D] * 2), np.zeros(2))
        return [frame, patches, state, two]

    with pytest.raises(BagError, match="at 1200000000 ns holds 2 actions; record one per step"):
        load_episode(bag_of(tmp_path / "bag", longer), 32)


def test_two_actions_for_one_step(tmp_path: Path) -> None:
    with BagWriter(bag_of(tmp_path / "bag").with_name("twice"), {"task": "disc"}) as bag:
        for stamp_ns in (*STAMPS_NS, STAMPS_NS[1]):
            bag.demonstrated_action(demonstrated(stamp_ns))
    with pytest.raises(BagError, match="two demonstrated actions for 1100000000 ns"):
        load_episode(tmp_path / "twice", 32)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_action_that_is_not_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def forged(chunk: ActionChunk) -> object:
        message = make(chunk)
        if chunk.stamp_ns == STAMPS_NS[2]:
            message.targets[0].position.y = value
        return message

    make = messages.action_chunk_message
    monkeypatch.setattr(messages, "action_chunk_message", forged)
    bag = bag_of(tmp_path / "bag")
    with pytest.raises(BagError, match=r"bag: /glue/demonstrated_action.*NaN"):
        load_dataset(bag.parent, 32, 4, 0.1)


def test_a_state_that_is_not_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forged(state: object) -> object:
        message = make(state)
        position = np.array(message.joint_position)
        position[3] = np.nan
        message.joint_position = position
        return message

    make = robot_messages.robot_state_message
    monkeypatch.setattr(robot_messages, "robot_state_message", forged)
    bag = bag_of(tmp_path / "bag")
    with pytest.raises(BagError, match=r"bag: /glue/robot_state.*NaN"):
        load_dataset(bag.parent, 32, 4, 0.1)


def test_an_action_too_large_for_the_networks_numbers(tmp_path: Path) -> None:
    def far(frame, patches, state, action):
        return [frame, patches, state, demonstrated(action.stamp_ns, x_m=1e200)]

    with pytest.raises(BagError, match="action holds NaN or infinite values at step 2"):
        load_episode(bag_of(tmp_path / "bag", far), 32)


def test_arrays_of_unlike_lengths() -> None:
    good = {
        "image": np.zeros((3, 8, 8, 3), np.uint8),
        "row_col": np.zeros((3, 2, 2), np.int64),
        "xy": np.zeros((3, 2, 2), np.float32),
        "visible": np.ones((3, 2), bool),
        "joint_position_rad": np.zeros((3, 7), np.float32),
        "action": np.zeros((3, 10), np.float32),
        "stamp_ns": np.arange(3) * DT_NS,
        "task": "disc",
    }
    EpisodeArrays(**good)
    with pytest.raises(BagError, match=r"differ in length: .*action 2"):
        EpisodeArrays(**good | {"action": good["action"][:2]})
    with pytest.raises(BagError, match="joint_position holds NaN or infinite values at step 1"):
        broken = good["joint_position_rad"].copy()
        broken[1, 4] = np.nan
        EpisodeArrays(**good | {"joint_position_rad": broken})


def test_a_single_step(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="1 steps; 2 are the least"):
        load_episode(write_bag(tmp_path / "bag", STAMPS_NS[:1]), 32)


def test_another_rate_is_told_from_a_gap(tmp_path: Path) -> None:
    slow = [STAMPS_NS[0] + 2 * k * DT_NS for k in range(4)]
    with pytest.raises(BagError, match=r"a step every 0.200 s where 0.1 s is expected; train at its rate"):
        load_episode(write_bag(tmp_path / "slow", slow), 32)
    gap = [*STAMPS_NS, STAMPS_NS[-1] + 3 * DT_NS]
    with pytest.raises(BagError, match=r"a gap of 0.300 s after step 4"):
        load_episode(write_bag(tmp_path / "gap", gap), 32)


def test_depth_is_missing(tmp_path: Path) -> None:
    bag_of(tmp_path / "bag", metadata=T_BASE_CAMERA)
    with pytest.raises(BagError, match=r"holds no depth .* record with the camera's depth on"):
        load_dataset(tmp_path, 32, 4, 0.1, POINTS)


def test_the_cameras_place_is_missing(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", STAMPS_NS)
    with pytest.raises(BagError, match="T_base_camera in its metadata"):
        load_dataset(tmp_path, 32, 4, 0.1, POINTS)


def test_point_clouds_are_stored_and_made_again_for_other_settings(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag", {"task": "disc", **T_BASE_CAMERA}) as bag:
        for k, stamp_ns in enumerate(STAMPS_NS):
            seen = disc_observation(k, stamp_ns)
            depth_m = np.full(seen.frame.rgb.shape[:2], 0.5 + k, np.float32)
            bag.frame(replace(seen.frame, depth_m=depth_m))
            bag.key_patches(seen.key_patches)
            bag.robot_state(robot_state(stamp_ns))
            bag.demonstrated_action(demonstrated(stamp_ns))
    dataset = load_dataset(tmp_path, 32, 4, 0.1, POINTS)
    assert dataset.arrays["points"].shape == (5, 1, 3)
    assert dataset.arrays["points"][:, 0, 2].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    both = PointCloudSource(lambda f, T: np.repeat(centre_point(f, T), 2, axis=0), {"num_points": 2})
    assert load_dataset(tmp_path, 32, 4, 0.1, both).arrays["points"].shape == (5, 2, 3)
    assert "points" not in load_dataset(tmp_path, 32, 4, 0.1).arrays


def test_all_faulty_bags_are_named_at_once(tmp_path: Path) -> None:
    for k in range(7):
        write_bag(tmp_path / f"gap_{k}", [*STAMPS_NS, STAMPS_NS[-1] + 3 * DT_NS])
    bag_of(tmp_path / "good")
    with pytest.raises(BagError, match=r"gap_0.*gap_4.*and 2 more"):
        load_dataset(tmp_path, 32, 4, 0.1)


@pytest.mark.parametrize("inside", ["nothing", "an empty folder", "only failures", "no folder at all"])
def test_nothing_to_train_on(tmp_path: Path, inside: str) -> None:
    if inside == "an empty folder":
        (tmp_path / "episode_000000").mkdir()
        words = "episode_000000 holds no .mcap file"
    elif inside == "only failures":
        write_bag(tmp_path / "a", STAMPS_NS, metadata={"outcome": "failure"})
        words = "none of its bags is a success"
    else:
        words = "it holds no folders of bags"
    where = tmp_path / "absent" if inside == "no folder at all" else tmp_path
    with pytest.raises(BagError, match=words):
        load_dataset(where, 32, 4, 0.1)


def test_mixed_demonstrations_name_the_bags(tmp_path: Path) -> None:
    bag_of(tmp_path / "a")
    write_bag(tmp_path / "b", STAMPS_NS, task="towel")
    with pytest.raises(BagError, match=r"task: disc, towel \(first met in a, b\); keep those of one kind"):
        load_dataset(tmp_path, 32, 4, 0.1)
    assert not SameEverywhere().problems()
