"""`glue export` and `glue import`: what they write, refuse and say."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from glue_bringup.cli.main import main
from glue_perception.bags.reader import BagReader
from glue_perception.bags.writer import BagWriter
from glue_perception.types import ActionChunk, CameraFrame, RobotState
from glue_policy.data.dataset import load_dataset

DT_NS = 100_000_000
STEPS = 6


def picture(k: int, button: bool = True) -> np.ndarray:
    """A red button on a grey table, seen by a camera that stands still; a dark arm comes nearer."""
    rgb = np.full((120, 160, 3), 150, np.uint8)
    rgb += np.random.default_rng(0).integers(0, 12, rgb.shape, dtype=np.uint8)
    if button:
        cv2.circle(rgb, (60, 70), 14, (200, 20, 25), -1)
        cv2.circle(rgb, (64, 66), 5, (235, 70, 70), -1)
    cv2.rectangle(rgb, (110 - 2 * k, 0), (125 - 2 * k, 40), (30, 30, 35), -1)
    return rgb


def record_bag(path: Path, button: bool = True) -> Path:
    """A demonstration without key-patches."""
    with BagWriter(path, {"task": "push_button", "outcome": "success"}) as bag:
        for k in range(STEPS):
            stamp_ns = (k + 1) * DT_NS
            bag.frame(CameraFrame(stamp_ns, "camera", picture(k, button), np.diag([200.0, 200.0, 1.0])))
            bag.robot_state(RobotState(stamp_ns, np.full(7, 0.1 * k), np.zeros(7), np.eye(4), 0.02))
            position_m, rotation_6d = (
                np.array([[0.4, 0.0, 0.3 - 0.01 * k]]),
                np.array([[1.0, 0, 0, 0, -1.0, 0]]),
            )
            bag.demonstrated_action(ActionChunk(stamp_ns, 0.1, position_m, rotation_6d, np.array([0.02])))
    return path


@pytest.mark.parametrize(
    ("format_name", "package"),
    [("robomimic", "h5py"), ("diffusion_policy", "zarr"), ("lerobot", "pyarrow")],
)
def test_what_has_no_key_patches_gets_them_from_the_tasks_perception(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format_name: str, package: str
) -> None:
    pytest.importorskip(package)
    record_bag(tmp_path / "bags" / "a")
    made, back = tmp_path / "made", tmp_path / "back"
    assert main(["export", format_name, str(tmp_path / "bags"), str(made)]) == 0
    assert "1 demonstrations written" in capsys.readouterr().out
    assert main(["import", format_name, str(made), str(back)]) == 10
    assert "has no key-patches; give --task" in capsys.readouterr().err
    assert main(["import", format_name, str(made), str(back), "--task", "push_button"]) == 0
    assert f"glue train push_button --data {back}" in capsys.readouterr().out
    with BagReader(back / "a") as bag:
        patches = list(bag.key_patches())
        assert bag.metadata["task"] == "push_button"
        assert bag.metadata["instruction"]
    assert len(patches) == STEPS
    for found in patches:
        assert found.visible.mean() > 0.6
        assert np.abs(found.xy_px[found.visible] - [60, 70]).max() < 16, "points lie on the button"
    dataset = load_dataset(back, 96, 16, 0.1)
    assert (len(dataset), dataset.task) == (STEPS, "push_button")


def test_a_demonstration_without_the_object_is_named_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    record_bag(tmp_path / "bags" / "a")
    record_bag(tmp_path / "bags" / "b", button=False)
    made = tmp_path / "made.hdf5"
    assert main(["export", "robomimic", str(tmp_path / "bags"), str(made)]) == 0
    code = main(["import", "robomimic", str(made), str(tmp_path / "back"), "--task", "push_button"])
    assert code == 3
    assert "b: " in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bags", "made.hdf5"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["export", "robomimik", "bags", "out"], 2, "Did you mean 'robomimic'"),
        (["export", "robomimic", "absent", "out"], 10, "no successful demonstrations to export in absent"),
        (["import", "robomimic", "absent", "out"], 10, "there is no dataset at absent"),
        (["import", "robomimic", "absent", "out", "--task", "push_buton"], 2, "Did you mean 'push_button'"),
        (["import", "robomimic", "absent", "out", "--rate-hz", "0"], 2, "rate_hz must lie in"),
    ],
)
def test_wrong_arguments_say_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_without_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 20}})
        obs = {
            "agentview_image": np.stack([picture(k) for k in range(4)]),
            "robot0_joint_pos": rng.normal(size=(4, 7)),
            "robot0_eef_pos": rng.normal(size=(4, 3)),
            "robot0_eef_quat": np.tile([1.0, 0, 0, 0], (4, 1)),
            "robot0_gripper_qpos": np.zeros((4, 2)),
        }
        for key, values in obs.items():
            file[f"data/demo_0/obs/{key}"] = values
        file["data/demo_0/actions"] = rng.normal(size=(4, 7))
    source, out = str(tmp_path / "a.hdf5"), str(tmp_path / "out")
    assert main(["import", "robomimic", source, out]) == 10
    assert "--actions next_pose" in capsys.readouterr().err
    assert main(["import", "robomimic", source, out, "--actions", "next_pose"]) == 10
    assert "does not say its task" in capsys.readouterr().err
    good = [
        "import",
        "robomimic",
        source,
        out,
        "--actions",
        "next_pose",
        "--task",
        "push_button",
        "--rate-hz",
        "10",
    ]
    assert main(good) == 0
    assert len(load_dataset(tmp_path / "out", 96, 16, 0.1)) == 4
