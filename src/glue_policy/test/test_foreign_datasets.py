"""Datasets that other projects left, in formats that are read."""

import json
from pathlib import Path

import numpy as np
import pytest

from glue_perception.errors import DatasetError
from glue_perception.geometry import matrix_from_rotation_vector
from glue_policy.data.interchange.base import ReadOptions
from glue_policy.data.interchange.formats import find_format


def robomimic_file(path: Path, **change: object) -> Path:
    """What robosuite and robomimic leave: no stamps, no key-patches, actions of their own."""
    h5py = pytest.importorskip("h5py")
    rng, t = np.random.default_rng(0), 5
    obs = {
        "agentview_image": rng.integers(0, 256, (t, 24, 32, 3), dtype=np.uint8),
        "robot0_joint_pos": rng.normal(size=(t, 7)),
        "robot0_eef_pos": np.arange(t)[:, None] * [0.01, 0.0, 0.0],
        "robot0_eef_quat": np.tile([1.0, 0.0, 0.0, 0.0], (t, 1)),
        "robot0_gripper_qpos": np.tile([0.02, -0.02], (t, 1)),
    } | change
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(
            {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}
        )
        for number in (10, 2):
            demo = data.create_group(f"demo_{number}")
            demo["actions"] = rng.normal(size=(t, 7))
            for key, values in obs.items():
                if values is not None:
                    demo[f"obs/{key}"] = values
    return path


def test_another_projects_robomimic_file(tmp_path: Path) -> None:
    source = robomimic_file(tmp_path / "lift.hdf5")
    with pytest.raises(DatasetError, match=r"demo_2 holds actions of shape \[5, 7\].*--actions next_pose"):
        next(find_format("robomimic").read(source, ReadOptions()))
    records = list(find_format("robomimic").read(source, ReadOptions(own_actions=False)))
    assert [r.name for r in records] == ["episode_000002", "episode_000010"]
    record = records[0]
    assert record.dt_s == 0.05
    assert np.diff(record.stamp_ns).tolist() == [50_000_000] * 4
    np.testing.assert_allclose(record.gripper_width_m, 0.04)
    np.testing.assert_allclose(record.action[:, 0], [0.01, 0.02, 0.03, 0.04, 0.04])
    np.testing.assert_allclose(record.action[0, 3:9], [1, 0, 0, 0, -1, 0], atol=1e-12)
    assert record.key_patches is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"robot0_joint_pos": None}, "lacks obs/robot0_joint_pos, which a bag needs"),
        ({"agentview_image": None}, "holds the images none; extract image observations first"),
        (
            {
                "agentview_image": None,
                "a_image": np.zeros((5, 4, 4, 3), np.uint8),
                "b_image": np.zeros((5, 4, 4, 3), np.uint8),
            },
            "a_image, b_image; choose one with --camera",
        ),
        ({"robot0_joint_pos": np.full((5, 7), np.nan)}, "joint_position_rad holds NaN"),
        ({"robot0_joint_pos": np.zeros((4, 7))}, r"must be of shape \(5, 7\), not \(4, 7\)"),
    ],
)
def test_what_a_foreign_file_lacks_is_named(tmp_path: Path, change: dict, words: str) -> None:
    source = robomimic_file(tmp_path / "lift.hdf5", **change)
    with pytest.raises(DatasetError, match=words):
        list(find_format("robomimic").read(source, ReadOptions(own_actions=False)))


def test_another_projects_replay_buffer(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(str(tmp_path / "replay"), mode="w", zarr_format=2)
    data = root.create_group("data")
    rng = np.random.default_rng(0)
    for name, values in {
        "camera_0": rng.integers(0, 256, (5, 24, 32, 3), dtype=np.uint8),
        "camera_1": rng.integers(0, 256, (5, 24, 32, 3), dtype=np.uint8),
        "robot_joint": rng.normal(size=(5, 7)),
        "robot_eef_pose": rng.normal(size=(5, 6)),
        "action": rng.normal(size=(5, 6)),
    }.items():
        data.create_array(name, data=values)
    root.create_group("meta").create_array("episode_ends", data=np.array([3, 5]))
    read = find_format("diffusion_policy").read
    with pytest.raises(DatasetError, match="does not say its rate; give it with --rate-hz"):
        next(read(tmp_path / "replay", ReadOptions(own_actions=False)))
    first, second = read(tmp_path / "replay", ReadOptions(10.0, "camera_1", own_actions=False))
    assert (len(first), len(second)) == (3, 2)
    assert np.array_equal(first.rgb, data["camera_1"][:3])
    pose = data["robot_eef_pose"][:][1]
    np.testing.assert_allclose(first.T_base_ee[1, :3, :3], matrix_from_rotation_vector(pose[3:]))
    np.testing.assert_allclose(first.action[0, :3], pose[:3])


@pytest.mark.parametrize("codec", ["Pickle()", "FixedScaleOffset(0, 1, 'u1')"])
def test_a_replay_buffer_with_other_codecs_is_refused_before_they_run(tmp_path: Path, codec: str) -> None:
    zarr, numcodecs = pytest.importorskip("zarr"), pytest.importorskip("numcodecs")
    root = zarr.open_group(str(tmp_path / "replay"), mode="w", zarr_format=2)
    data, meta = root.create_group("data"), root.create_group("meta")
    forged = {"camera_0": np.zeros((3, 8, 8, 3), np.uint8), "action": np.zeros((3, 10))}
    for name, values in forged.items():
        filter_ = numcodecs.Pickle() if codec == "Pickle()" else numcodecs.FixedScaleOffset(0, 1, "u1")
        filters = [filter_] if name == "camera_0" else None
        data.create_array(name, shape=values.shape, dtype=values.dtype, filters=filters)
    meta.create_array("episode_ends", data=np.array([3]))
    with pytest.raises(DatasetError, match=r"'pickle'|encoded with fixedscaleoffset"):
        next(find_format("diffusion_policy").read(tmp_path / "replay", ReadOptions(10.0)))
