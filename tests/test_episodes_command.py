"""`glue episodes` over a folder of good, refused, killed and ruined bags."""

import json
import sys
from pathlib import Path

import cv2
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "src" / "glue_bringup" / "test"))
from demonstrations import play

from glue_bringup.cli.main import main
from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder
from glue_perception.bags.reader import BagReader
from glue_perception.bags.writer import BagWriter


@pytest.fixture
def folder(tmp_path):
    """Episodes 0: success, 1: refused for a gap, 2: failure, 3: killed; and two folders that are no bags."""
    recorder = DemonstrationRecorder(tmp_path / "demos", {"task": "push_button", "operator": "Ada"})
    recorder.start()
    play(recorder)
    recorder.success()
    recorder.start()
    play(recorder, spoil=lambda kind, k: None if kind == "frame" and 31 <= k < 37 else {})
    recorder.success()
    recorder.start()
    play(recorder)
    recorder.failure()
    killed = tmp_path / "demos" / "episode_000003"
    killed.mkdir()
    whole = (tmp_path / "demos" / "episode_000000" / "episode_000000_0.mcap").read_bytes()
    (killed / "episode_000003_0.mcap").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "demos" / "garbage").mkdir()
    (tmp_path / "demos" / "garbage" / "garbage_0.mcap").write_bytes(b"no bag at all")
    (tmp_path / "demos" / "notes").mkdir()
    return tmp_path / "demos"


def glue(capsys, *arguments) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def rows(capsys, folder) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads(glue(capsys, "episodes", folder, "list", "--json"))}


def test_list_names_every_bag_and_repairs_what_was_killed(capsys, folder):
    text = glue(capsys, "episodes", folder, "list")
    assert "repaired episode_000003" in text
    assert "episode_000001: no image for" in text  # a line of its own, whatever the terminal's width
    found = rows(capsys, folder)
    outcomes = {name: row["outcome"] for name, row in found.items()}
    assert outcomes == {
        "episode_000000": "success",
        "episode_000001": "refused",
        "episode_000002": "failure",
        "episode_000003": "unfinished",
        "garbage": "unreadable",
        "notes": "unreadable",
    }
    assert found["episode_000000"]["action_hz"] == pytest.approx(10.0, abs=0.01)
    assert found["episode_000000"]["operator"] == "Ada"
    assert "no image for" in found["episode_000001"]["findings"][0]["text"] + str(found["episode_000001"])
    assert found["episode_000003"]["repaired"]["cut_bytes"] > 0
    assert 5 < found["episode_000003"]["frames"] < 60
    assert "MCAP" in found["garbage"]["problem"]
    assert all(name in text for name in outcomes)


def test_a_bag_that_is_being_recorded_is_said_to_be(capsys, folder):
    writer = BagWriter(folder / "live", {"task": "push_button"})
    assert rows(capsys, folder)["live"]["outcome"] == "recording"
    writer.close()


def test_show_draws_a_sheet(capsys, folder):
    text = glue(capsys, "episodes", folder, "show", "1")
    assert "episode_000001: refused" in text
    assert "refuse: no image for" in text
    image = cv2.imread(str(folder / "episode_000001.png"))
    assert image.shape[0] > 800
    assert image.std() > 20
    assert json.loads(glue(capsys, "episodes", folder, "show", "episode_000000", "--json"))["frames"] == 60
    assert "unreadable" in glue(capsys, "episodes", folder, "show", "garbage")


def test_what_the_tool_felt_is_recorded_and_drawn(capsys, tmp_path):
    heights = []
    for name, force_n in (("felt", 7.5), ("not_reported", None)):
        recorder = DemonstrationRecorder(tmp_path / name, {"task": "push_button"})
        recorder.start()
        play(recorder, spoil=lambda kind, k, force_n=force_n: {"force_n": force_n} if kind == "state" else {})
        recorder.success()
        with BagReader(tmp_path / name / "episode_000000") as bag:
            felt = [state.external_wrench for state in bag.robot_states()]
        assert len(felt) == 60
        assert {None if wrench is None else float(wrench[2]) for wrench in felt} == {force_n}
        glue(capsys, "episodes", tmp_path / name, "show", "0")
        heights.append(cv2.imread(str(tmp_path / name / "episode_000000.png")).shape[0])
    assert heights[0] > heights[1] + 100


def test_relabel_keeps_the_earlier_label(capsys, folder):
    glue(
        capsys, "episodes", folder, "relabel", "2", "success", "--by", "Ben", "--reason", "pressed after all"
    )
    glue(capsys, "episodes", folder, "relabel", "2", "discarded")
    row = rows(capsys, folder)["episode_000002"]
    assert row["outcome"] == "discarded"
    assert [(h["from"], h["to"]) for h in row["history"]] == [
        ("failure", "success"),
        ("success", "discarded"),
    ]
    assert (row["history"][0]["by"], row["history"][0]["reason"]) == ("Ben", "pressed after all")
    with BagReader(folder / "episode_000002") as bag:
        assert bag.metadata["verdict"] == "failure"
        assert len(list(bag.frames())) == 60


def test_a_refused_episode_needs_a_reason_to_be_trained_on(capsys, folder):
    for name in ("1", "3"):
        assert main(["episodes", str(folder), "relabel", name, "success"]) == 2
        assert "--reason" in capsys.readouterr().err
    glue(capsys, "episodes", folder, "relabel", "3", "success", "--reason", "looked at it")
    assert rows(capsys, folder)["episode_000003"]["history"][0]["from"] == "unfinished"


def test_export_hands_a_selection_over(capsys, folder, tmp_path):
    h5py = pytest.importorskip("h5py")
    glue(capsys, "episodes", folder, "relabel", "2", "success")
    for bad in ("garbage", "notes"):  # all successes means all bags of the folder, which must be readable
        (folder / bad).rename(tmp_path / bad)
    for only, count in (([], 2), (["--only", "2"], 1)):
        out = tmp_path / f"set_{count}.hdf5"
        text = glue(capsys, "episodes", folder, "export", "robomimic", out, *only)
        assert f"{count} demonstrations" in text
        with h5py.File(out) as file:
            assert len(file["data"]) == count
    arguments = ["export", "robomimic", str(tmp_path / "x.hdf5"), "--only", "0", "1"]
    assert main(["episodes", str(folder), *arguments]) == 2
    assert "1 of the 2 chosen" in capsys.readouterr().err
    assert main(["episodes", str(folder), *arguments[:-2], "1"]) == 2
    assert "none of the chosen episodes is a success" in capsys.readouterr().err


def test_wrong_names_are_one_line(capsys, folder, tmp_path):
    assert main(["episodes", str(folder), "show", "episode_00000"]) == 2
    assert "episode_00000" in capsys.readouterr().err
    assert main(["episodes", str(tmp_path / "none"), "list"]) == 5
    assert "no folder of episodes" in capsys.readouterr().err
