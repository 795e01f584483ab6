"""`glue record` without hardware: keys in a terminal move the simulated robot, and the bag can be replayed."""

import os
import select
import subprocess
import sys
import time

import pytest

from glue_bringup.cli.main import main
from glue_perception.bags.reader import BagReader


def test_wrong_values_are_one_line(capsys, tmp_path):
    for arguments, message in (
        (["--teleop", "joystick", "--out", "x"], "invalid choice"),
        (["--teleop", "expert", "--out", "x", "--seed", "-1"], "--seed"),
        (["--teleop", "expert", "--out", "x", "--max-duration-s", "0.5"], "--max-duration-s"),
        (["--teleop", "expert", "--out", "x", "--calibration", "none.yaml"], "calibration"),
    ):
        try:
            code = main(["record", "push_button", *arguments])
        except SystemExit as error:
            code = error.code
        assert code == 2
        assert message in capsys.readouterr().err


class Terminal:
    """The other end of a terminal in which a program runs."""

    def __init__(self, command: list[str]) -> None:
        self.fd, terminal = os.openpty()
        self.child = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.text = ""

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def listen(self, timeout_s: float) -> None:
        if select.select([self.fd], [], [], timeout_s)[0]:
            try:
                self.text += os.read(self.fd, 65536).decode("utf-8", "replace")
            except OSError:  # the program has ended
                time.sleep(0.05)

    def wait_for(self, text: str, keys: str = "", times: int = 1) -> None:
        end_s = time.monotonic() + 90
        while self.text.count(text) < times:
            assert time.monotonic() < end_s, self.text
            assert self.child.poll() is None, self.text
            if keys:
                self.press(keys)
            self.listen(0.05)


@pytest.mark.render
@pytest.mark.slow
def test_the_keyboard_records_a_demonstration(tmp_path):
    calibration = tmp_path / "camera.yaml"
    calibration.write_text("T_base_camera: measured\n", encoding="utf-8")
    out = tmp_path / "demos"
    command = [sys.executable, "-m", "glue_bringup.cli.main", "record", "push_button", "--teleop", "keyboard"]
    command += ["--out", str(out), "--operator", "Ada", "--notes", "one button"]
    terminal = Terminal([*command, "--calibration", str(calibration)])
    try:
        terminal.wait_for("ready")
        terminal.press("\n")
        terminal.wait_for("images/s", times=2)  # a key that is held from the start on moves nothing
        terminal.wait_for("images/s", keys="f", times=4)  # downwards, as a held key repeats
        terminal.press("n")
        terminal.wait_for("failure,")
        assert terminal.child.wait(60) == 0, terminal.text
    finally:
        terminal.child.kill()
        terminal.child.wait()
        os.close(terminal.fd)
    with BagReader(out / "episode_000000") as bag:
        said = bag.metadata
        heights_m = [action.position_m[0, 2] for action in bag.demonstrated_actions()]
        moved_m = [T[2, 3] for _, T in bag.targets()]
        reasons = {event.reason for event in bag.safety_events() if event.mode == "teleop"}
    assert (said["outcome"], said["operator"], said["scene_notes"]) == ("failure", "Ada", "one button")
    assert said["demonstrator"] == "keyboard"
    assert said["calibration"].startswith("T_base_camera")
    assert said["version.numpy"]
    assert heights_m[-1] < heights_m[0] - 0.05
    assert moved_m[-1] < moved_m[0] - 0.05
    assert "moving" in reasons
    assert [path.name for path in out.iterdir()] == ["episode_000000"]
