"""Demonstrations to other projects' formats and back."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from disc_demonstrations import DT_NS, disc_observation

from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError, ConfigError, DatasetError, MissingDependencyError
from glue_perception.geometry import make_transform, matrix_from_rotation_vector, rotation_6d_from_matrix
from glue_perception.types import ActionChunk, RobotState
from glue_policy.data.dataset import load_dataset
from glue_policy.data.interchange import base
from glue_policy.data.interchange.base import ReadOptions
from glue_policy.data.interchange.convert import export_bags, import_dataset
from glue_policy.data.interchange.formats import NAMES, Format, find_format
from glue_policy.data.interchange.lerobot_writer import ImageStorage, LeRobotWriter
from glue_policy.data.interchange.record import (
    KEY_PATCH_FIELDS,
    Record,
    record_of_bag,
    with_next_pose_as_action,
)
from glue_policy.data.interchange.statistics import channel_histogram, image_statistics, statistics_of

PACKAGES = {"robomimic": "h5py", "diffusion_policy": "zarr", "lerobot": "pyarrow"}
LENGTHS = (4, 3)
START_NS = 1_700_000_000_123_456_789
READER = Path(__file__).parent / "read_with_lerobot.py"


def fixed(record: Record) -> Record:
    return record


def record_bag(path: Path, seed: int, length: int, depth: bool = False) -> Path:
    """A demonstration in which everything moves, with numbers that need all their digits."""
    rng = np.random.default_rng(seed)
    metadata = {"task": "disc", "instruction": "Go to the disc.", "outcome": "success", "seed": str(seed)}
    with BagWriter(path, metadata) as bag:
        for k in range(length):
            stamp_ns = START_NS + k * DT_NS + 1000 * k
            seen = disc_observation(10 * seed + k, stamp_ns)
            T = make_transform(matrix_from_rotation_vector(rng.normal(size=3)), rng.normal(size=3))
            command = make_transform(matrix_from_rotation_vector(rng.normal(size=3)), rng.normal(size=3))
            depth_m = rng.uniform(0.3, 2.0, seen.frame.rgb.shape[:2]).astype(np.float32) if depth else None
            bag.frame(
                replace(
                    seen.frame,
                    depth_m=depth_m,
                    intrinsics=np.array([[61.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]),
                )
            )
            bag.key_patches(seen.key_patches)
            bag.robot_state(
                RobotState(stamp_ns, rng.normal(size=7), rng.normal(size=7), T, rng.uniform(0, 0.08))
            )
            rotation_6d = rotation_6d_from_matrix(command[:3, :3])[None]
            width_m = rng.uniform(0, 0.08, 1)
            bag.demonstrated_action(ActionChunk(stamp_ns, 0.1, command[None, :3, 3], rotation_6d, width_m))
            between = disc_observation(99, stamp_ns + DT_NS // 2)
            bag.frame(
                replace(between.frame, intrinsics=np.array([[61.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]))
            )
    return path


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    for k, length in enumerate(LENGTHS):
        record_bag(tmp_path / "bags" / f"episode_{k}", k, length)
    return tmp_path / "bags"


def chosen(name: str, images: str = "video") -> Format:
    pytest.importorskip(PACKAGES[name])
    return find_format(name, images)


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    return float(cv2.PSNR(one, other))


def round_trip(bags: Path, name: str, images: str = "video") -> tuple[list[Record], list[Record]]:
    """Bags to a dataset and back to bags."""
    made, back = bags.with_name("made"), bags.with_name("back")
    assert export_bags(chosen(name, images), bags, made) == len(list(bags.iterdir()))
    assert import_dataset(chosen(name), made, back, ReadOptions(), fixed) == len(list(bags.iterdir()))
    before = [record_of_bag(path) for path in sorted(bags.iterdir())]
    return before, [record_of_bag(path) for path in sorted(back.iterdir())]


def assert_alike(before: Record, after: Record, tolerance: float) -> None:
    """All but the images and the depth."""
    assert after.name == before.name
    assert np.array_equal(after.stamp_ns, before.stamp_ns)
    assert after.dt_s == before.dt_s
    assert np.array_equal(after.intrinsics, before.intrinsics)
    assert before.metadata.items() <= after.metadata.items()
    names = ("joint_position_rad", "joint_velocity_rad_s", "T_base_ee", "gripper_width_m", "action")
    for name in names:
        np.testing.assert_allclose(
            getattr(after, name), getattr(before, name), rtol=0, atol=tolerance, err_msg=name
        )
    assert before.key_patches is not None
    assert after.key_patches is not None
    for name in KEY_PATCH_FIELDS:
        one, other = getattr(before.key_patches, name), getattr(after.key_patches, name)
        np.testing.assert_allclose(other, one, rtol=0, atol=20 * tolerance, err_msg=name)


@pytest.mark.parametrize("name", ["robomimic", "diffusion_policy"])
def test_what_keeps_all_bits_comes_back_bit_for_bit(bags: Path, name: str) -> None:
    record_bag(bags / "episode_2", 2, 2)
    for before, after in zip(*round_trip(bags, name), strict=True):
        assert_alike(before, after, tolerance=0.0)
        assert np.array_equal(after.rgb, before.rgb)


@pytest.mark.parametrize("name", ["robomimic", "diffusion_policy"])
def test_depth_comes_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    record_bag(tmp_path / "bags" / "a", 0, 3, depth=True)
    [before], [after] = round_trip(tmp_path / "bags", name)
    assert before.depth_m is not None
    assert after.depth_m is not None
    assert np.array_equal(after.depth_m, before.depth_m)


@pytest.mark.parametrize("images", ["png", "video"])
def test_lerobot_keeps_numbers_in_single_precision(bags: Path, images: str) -> None:
    for before, after in zip(*round_trip(bags, "lerobot", images), strict=True):
        assert_alike(before, after, tolerance=3e-7)
        for one, other in zip(before.rgb, after.rgb, strict=True):
            assert np.array_equal(one, other) if images == "png" else psnr_db(one, other) > 28.0
        shifted = np.roll(before.rgb, 1, axis=0)
        assert psnr_db(shifted[0], after.rgb[0]) < 26.0, "the bound must tell one frame from the next"


def test_what_was_imported_can_be_trained_on(bags: Path) -> None:
    round_trip(bags, "robomimic")
    once, twice = (load_dataset(bags.with_name(n), 32, 4, 0.1) for n in ("bags", "back"))
    assert once.fingerprint == twice.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_failures_are_left_out_and_nothing_is_overwritten(bags: Path, tmp_path: Path, name: str) -> None:
    with BagWriter(bags / "failed", {"task": "disc", "outcome": "failure"}):
        pass
    out = tmp_path / "out"
    assert export_bags(chosen(name), bags, out) == len(LENGTHS)
    with pytest.raises(DatasetError, match="exists already"):
        export_bags(chosen(name), bags, out)
    with pytest.raises(DatasetError, match="no successful demonstrations"):
        export_bags(chosen(name), tmp_path / "empty", tmp_path / "other")
    assert not list(tmp_path.glob("*.partial")), "what was not finished is removed"
    with pytest.raises(DatasetError, match="exists already"):
        import_dataset(chosen(name), out, bags, ReadOptions(), fixed)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_half_way_leaves_nothing(bags: Path, tmp_path: Path, name: str) -> None:
    (bags / "not_a_bag").mkdir()
    with pytest.raises(BagError, match="not_a_bag"):
        export_bags(chosen(name), bags, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bags"]


def test_what_does_not_go_together_is_refused(bags: Path, tmp_path: Path) -> None:
    record_bag(bags / "episode_9", 9, 2, depth=True)
    with pytest.raises(DatasetError, match=r"episode_9 does not go with .* depth is there, not none"):
        export_bags(chosen("robomimic"), bags, tmp_path / "out")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_dataset_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="there is no dataset"):
        import_dataset(chosen(name), tmp_path / "absent", tmp_path / "out", ReadOptions(), fixed)
    other = tmp_path / "other"
    if name == "robomimic":
        other.write_bytes(b"not HDF5")
    else:
        other.mkdir()
    with pytest.raises(DatasetError, match=r"is not a|not an HDF5"):
        import_dataset(chosen(name), other, tmp_path / "out", ReadOptions(), fixed)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def absent(package: str) -> None:
        raise ImportError(f"No module named {package!r}")

    monkeypatch.setattr(base.importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"pip install 'glue_policy\["):
        find_format(name).writer(tmp_path / "out")


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'lerobot'"):
        find_format("le_robot")


@pytest.mark.parametrize(
    ("name", "images"),
    [("robomimic", ""), ("diffusion_policy", ""), ("lerobot", "png"), ("lerobot", "video")],
)
def test_a_damaged_dataset_is_an_error_never_a_defect(
    bags: Path, tmp_path: Path, name: str, images: str
) -> None:
    """Cut every file off, and overwrite a piece of it."""
    export_bags(chosen(name, images or "video"), bags, tmp_path / "made")
    whole = tmp_path / "made"
    files = [p for p in whole.rglob("*") if p.is_file()] if whole.is_dir() else [whole]
    files = sorted(files, key=lambda p: p.stat().st_size)[-8:]
    refused = 0
    for file in files:
        content = file.read_bytes()
        middle = len(content) // 2
        for damaged in (content[:middle], content[:middle] + bytes(64) + content[middle + 64 :], b""):
            file.write_bytes(damaged)
            try:
                records = list(chosen(name).read(whole, ReadOptions()))
                assert len(records) == len(LENGTHS)
            except DatasetError:
                refused += 1
        file.write_bytes(content)
    assert refused >= len(files)
    assert len(list(chosen(name).read(whole, ReadOptions()))) == len(LENGTHS)


def test_metadata_that_is_not_text_is_refused(bags: Path, tmp_path: Path) -> None:
    export_bags(chosen("lerobot", "png"), bags, tmp_path / "made")
    path = tmp_path / "made" / "meta" / "glue.json"
    about = json.loads(path.read_text())
    about["episodes"][0]["metadata"] = {"task": ["disc"]}
    path.write_text(json.dumps(about))
    with pytest.raises(DatasetError, match="not a mapping of text to text"):
        next(chosen("lerobot").read(tmp_path / "made", ReadOptions()))


def test_a_lerobot_dataset_of_another_version_or_state_is_refused(bags: Path, tmp_path: Path) -> None:
    export_bags(chosen("lerobot", "png"), bags, tmp_path / "made")
    path = tmp_path / "made" / "meta" / "info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"codebase_version": "v2.1"}))
    with pytest.raises(DatasetError, match=r"version 'v2.1', v3.0 is known; convert it"):
        next(chosen("lerobot").read(tmp_path / "made", ReadOptions()))
    info["features"]["observation.state"]["names"] = ["shoulder_pan", "shoulder_lift"]
    path.write_text(json.dumps(info))
    with pytest.raises(DatasetError, match=r"shoulder_lift.*but panda_joint1"):
        next(chosen("lerobot").read(tmp_path / "made", ReadOptions()))
    path.write_text(json.dumps(info | {"data_path": "../{chunk_index}{file_index}"}))
    with pytest.raises(DatasetError, match="lacks the file"):
        next(chosen("lerobot").read(tmp_path / "made", ReadOptions()))


def test_a_file_may_hold_several_episodes(bags: Path, tmp_path: Path) -> None:
    """As LeRobot's own datasets do, videos too."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    export_bags(chosen("lerobot"), bags, tmp_path / "made")
    made = tmp_path / "made"
    data = sorted(made.glob("data/*/*.parquet"))
    parquet.write_table(pa.concat_tables([parquet.read_table(f) for f in data]), data[0])
    videos = sorted(made.glob("videos/*/*/*.mp4"))
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"file '{v}'\n" for v in videos))
    import imageio_ffmpeg

    both = tmp_path / "both.mp4"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-f",
        "concat",
        "-safe",
        "0",
        "-i",
        str(listing),
    ]
    subprocess.run([*command, "-c", "copy", str(both)], check=True)
    both.replace(videos[0])
    for extra in (data[1], videos[1]):
        extra.unlink()
    episodes = made / "meta/episodes/chunk-000/file-000.parquet"
    rows = parquet.read_table(episodes).to_pylist()
    key = "videos/observation.images.camera"
    first_s = LENGTHS[0] / 10.0
    rows[1] |= {"data/file_index": 0, f"{key}/file_index": 0, f"{key}/from_timestamp": first_s}
    parquet.write_table(pa.Table.from_pylist(rows), episodes)
    after = list(chosen("lerobot").read(made, ReadOptions()))
    for number, record in enumerate(after):
        before = record_of_bag(bags / f"episode_{number}")
        assert_alike(before, record, tolerance=3e-7)
        assert all(psnr_db(a, b) > 28.0 for a, b in zip(before.rgb, record.rgb, strict=True))


def test_odd_sizes_need_png(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    record = record_of_bag(record_bag(tmp_path / "bag", 0, 2))
    odd = replace(record, rgb=record.rgb[:, :, :63])
    with (
        pytest.raises(DatasetError, match=r"63 x 48 px; give --images png"),
        LeRobotWriter(tmp_path / "a") as writer,
    ):
        writer.add(odd)
    with LeRobotWriter(tmp_path / "b", ImageStorage.PNG) as writer:
        writer.add(odd)
        writer.finish()


def test_the_next_pose_as_action(tmp_path: Path) -> None:
    record = record_of_bag(record_bag(tmp_path / "bag", 0, 3))
    made = with_next_pose_as_action(record)
    np.testing.assert_array_equal(made.action[:, :3], record.T_base_ee[[1, 2, 2], :3, 3])
    np.testing.assert_array_equal(made.action[:, 9], record.gripper_width_m[[1, 2, 2]])


def test_statistics_of_images_are_exact() -> None:
    rgb = np.random.default_rng(0).integers(0, 200, (3, 8, 9, 3), dtype=np.uint8)
    ours = image_statistics(channel_histogram(rgb), 3)
    rows = rgb.reshape(-1, 3) / 255.0
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(ours[name].reshape(3), getattr(rows, name)(axis=0), atol=1e-12)
    np.testing.assert_allclose(ours["q50"].reshape(3), np.quantile(rows, 0.5, axis=0, method="inverted_cdf"))
    assert ours["count"].tolist() == [3]
    assert statistics_of(rows)["q90"].shape == (3,)


@pytest.fixture(scope="module")
def lerobot_python() -> str:
    """An interpreter that has LeRobot: this one, or the one that GLUE_LEROBOT_PYTHON names."""
    python = os.environ.get("GLUE_LEROBOT_PYTHON", sys.executable)
    command = [python, "-c", "import lerobot.datasets.lerobot_dataset"]
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if subprocess.run(command, capture_output=True, env=clean).returncode:
        pytest.skip("LeRobot is not installed; name an interpreter that has it in GLUE_LEROBOT_PYTHON")
    return python


@pytest.mark.parametrize("images", ["png", "video"])
def test_lerobot_itself_opens_the_export(
    lerobot_python: str, bags: Path, tmp_path: Path, images: str
) -> None:
    export_bags(chosen("lerobot", images), bags, tmp_path / "made")
    command = [lerobot_python, str(READER), str(tmp_path / "made"), str(tmp_path / "seen.npz")]
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    clean |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(command, capture_output=True, text=True, env=clean)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    seen = np.load(tmp_path / "seen.npz")
    records = [record_of_bag(path) for path in sorted(bags.iterdir())]
    actions = np.concatenate([r.action for r in records])
    assert int(seen["episodes"]) == len(LENGTHS)
    assert seen["length"].tolist() == list(LENGTHS)
    assert seen["task"].tolist() == ["Go to the disc."] * sum(LENGTHS)
    np.testing.assert_array_equal(seen["action"], actions.astype(np.float32))
    joints = np.concatenate([r.joint_position_rad for r in records]).astype(np.float32)
    np.testing.assert_array_equal(seen["state"][:, :7], joints)
    stamps = np.concatenate([r.stamp_ns for r in records])
    np.testing.assert_array_equal(seen["stamp_ns"], stamps)
    rgb = np.concatenate([r.rgb for r in records])
    assert seen["image"].shape == rgb.shape
    for one, other in zip(rgb, seen["image"], strict=True):
        assert np.array_equal(one, other) if images == "png" else psnr_db(one, other) > 28.0
    np.testing.assert_allclose(seen["action_mean"], actions.mean(axis=0), atol=1e-6)
    # A window of three actions from the last step but one of the first episode: the last one is repeated as padding.
    assert seen["window_is_pad"].tolist() == [False, False, True]
    np.testing.assert_array_equal(seen["window"], actions[[2, 3, 3]].astype(np.float32))
