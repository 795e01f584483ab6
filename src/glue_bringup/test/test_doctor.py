"""The doctor's checks over canned readings, and the whole examination on this machine."""

import json
import socket
import struct
import threading

import pytest

from glue_bringup.arm.handshake import ServerAnswer, ask_server
from glue_bringup.arm.limits import RobotModel
from glue_bringup.cli.main import main
from glue_bringup.doctor import computer_checks as computer
from glue_bringup.doctor import perception_checks as perception
from glue_bringup.doctor import readings
from glue_bringup.doctor import robot_checks as robot
from glue_bringup.doctor.examine import EXIT_UNFIT, exit_code
from glue_bringup.doctor.finding import Finding, Level

RT = computer.KernelReading("#1 SMP PREEMPT_RT Mon", None)
PLAIN = computer.KernelReading("#1 SMP PREEMPT_DYNAMIC Mon", None)
D435 = perception.CameraReading("D435 1234", "3.2", 29.9, 30.0)
PING = "1208 bytes from 172.16.0.2: icmp_seq=1 ttl=64 time=0.113 ms\n1208 bytes from x: time=0.4 ms\n"


@pytest.mark.parametrize(
    ("finding", "level", "word"),
    [
        (computer.check_kernel(RT, True), Level.OK, ""),
        (computer.check_kernel(computer.KernelReading("x", "1\n"), True), Level.OK, ""),
        (computer.check_kernel(PLAIN, True), Level.FAIL, "PREEMPT_RT"),
        (computer.check_kernel(PLAIN, False), Level.WARN, "twin needs none"),
        (computer.check_privileges(99, -1, True), Level.OK, ""),
        (computer.check_privileges(-1, 102400 * 1024, True), Level.OK, ""),
        (computer.check_privileges(0, -1, True), Level.FAIL, "limits.conf"),
        (computer.check_privileges(99, 65536, False), Level.WARN, "memlock"),
        (computer.check_governor(()), Level.NOT_CHECKED, ""),
        (computer.check_governor(("performance",) * 4), Level.OK, ""),
        (computer.check_governor(("performance", "powersave")), Level.WARN, "cpupower"),
        (computer.check_disk(100.0, 500.0), Level.OK, ""),
        (computer.check_disk(1.0, 500.0), Level.FAIL, "free some"),
        (computer.check_disk(100.0, 20.0), Level.WARN, "SSD"),
        (computer.check_disk(10.0, 500.0), Level.WARN, "free some"),
        (computer.check_disk(100.0, None), Level.NOT_CHECKED, "cannot write"),
        (computer.check_clock(True), Level.OK, ""),
        (computer.check_clock(False), Level.WARN, "chrony"),
        (computer.check_clock(None), Level.NOT_CHECKED, "chrony"),
        (robot.check_round_trip(None, False), Level.NOT_CHECKED, "--robot-ip"),
        (robot.check_round_trip(None, True), Level.FAIL, "cable"),
        (robot.check_round_trip((0.1, 0.2, 0.15), True), Level.OK, ""),
        (robot.check_round_trip((0.1, 0.1, 0.9), True), Level.WARN, "cable"),
        (robot.check_round_trip((1.5, 1.2, 2.0), True), Level.FAIL, "cable"),
        (robot.check_server(None, 10, RobotModel.FR3, False), Level.NOT_CHECKED, "--robot-ip"),
        (robot.check_server(None, 10, RobotModel.FR3, True), Level.FAIL, "FCI"),
        (robot.check_server(ServerAnswer(True, 10, 0.1), 10, RobotModel.FR3, True), Level.OK, ""),
        (robot.check_server(ServerAnswer(False, 5, 0.1), 10, RobotModel.PANDA, True), Level.FAIL, "0.9"),
        (robot.check_server(ServerAnswer(False, 8, 0.1), 10, RobotModel.FR3, True), Level.FAIL, "wheel"),
        (robot.check_server(ServerAnswer(True, 10, 0.1), None, RobotModel.FR3, True), Level.FAIL, "pip"),
        (robot.check_server(ServerAnswer(True, 10, 0.1), 10, RobotModel.PANDA, True), Level.FAIL, "set fr3"),
        (perception.check_camera(D435, ""), Level.OK, ""),
        (perception.check_camera(None, "no camera"), Level.WARN, "twin needs none"),
        (perception.check_camera(perception.CameraReading("D", "2.1", 30.0, 30.0), ""), Level.FAIL, "USB 3"),
        (perception.check_camera(perception.CameraReading("D", "3.2", 14.0, 30.0), ""), Level.FAIL, "port"),
        (
            perception.check_camera(perception.CameraReading("D", "3.2", None, 30.0), ""),
            Level.NOT_CHECKED,
            "",
        ),
        (perception.check_gpu(("H200",), "full"), Level.OK, ""),
        (perception.check_gpu(None, "embedded"), Level.OK, ""),
        (perception.check_gpu(None, "full"), Level.WARN, "GPU"),
        (perception.check_weights({}, "embedded"), Level.OK, ""),
        (perception.check_weights({"a": "present", "b": "unchecked"}, "full"), Level.OK, ""),
        (perception.check_weights({"a": "present", "b": "damaged"}, "full"), Level.FAIL, "--profile full"),
        (perception.check_checkpoint("tiny", None), Level.OK, ""),
        (perception.check_checkpoint("tiny", "there is none"), Level.FAIL, "glue train"),
        (perception.check_opengl("egl", ""), Level.OK, ""),
        (perception.check_opengl(None, "no EGL. Install libegl1"), Level.FAIL, "Install"),
        (perception.check_rmw(None, None, {}), Level.NOT_CHECKED, "jazzy"),
        (perception.check_rmw("jazzy", "rmw_fastrtps_cpp", {}), Level.OK, ""),
        (perception.check_rmw("humble", "rmw_fastrtps_cpp", {}), Level.WARN, "jazzy"),
        (perception.check_rmw("jazzy", None, {}), Level.WARN, "RMW_IMPLEMENTATION"),
        (perception.check_rmw("jazzy", "rmw_x", {}), Level.FAIL, "rmw_zenoh_cpp"),
        (perception.check_rmw("jazzy", "rmw_cyclonedds_cpp", {}), Level.WARN, "CYCLONEDDS_URI"),
    ],
)
def test_a_check_judges_and_names_the_remedy(finding, level, word):
    assert finding.level is level, finding
    assert word in finding.remedy
    assert finding.found
    assert finding.remedy or level in (Level.OK, Level.NOT_CHECKED)


def test_only_a_failed_check_makes_the_exit_code():
    assert exit_code([Finding("a", Level.WARN, "x"), Finding("b", Level.NOT_CHECKED, "x")]) == 0
    assert exit_code([Finding("a", Level.OK, "x"), Finding("b", Level.FAIL, "x")]) == EXIT_UNFIT


def test_ping_is_read():
    assert readings.round_trips_in(PING) == (0.113, 0.4)
    assert readings.round_trips_in("100% packet loss") is None


def test_a_panda_says_its_version_before_any_library_talks_to_it():
    with socket.create_server(("127.77.5.1", 1337)) as server:

        def answer() -> None:
            link, _ = server.accept()
            with link:
                link.recv(100)
                link.sendall(struct.pack("<III", 0, 0, 20) + struct.pack("<HH4x", 1, 5))

        thread = threading.Thread(target=answer)
        thread.start()
        said = ask_server("127.77.5.1", 10)
        thread.join()
    assert said is not None
    assert (said.compatible, said.version) == (False, 5)
    assert ask_server("127.77.5.2", 10, 0.2) is None


def test_the_installed_libfranka_says_which_server_it_speaks_to():
    pytest.importorskip("franky", reason="needs franky-control")
    from glue_bringup.arm.franky_arm import spoken_server_version

    version = spoken_server_version()
    assert version is not None
    assert 5 <= version < 100


def test_the_whole_examination_of_this_machine(tmp_path, capsys):
    code = main(["doctor", "--json", "--folder", str(tmp_path)])
    findings = {line["name"]: line for line in json.loads(capsys.readouterr().out)}
    assert len(findings) == 13
    assert not [line for line in findings.values() if "the check broke" in line["found"]]
    assert findings["checkpoint"]["level"] == "ok"
    assert findings["robot server version"]["level"] == "not_checked"
    assert code == (EXIT_UNFIT if "fail" in {line["level"] for line in findings.values()} else 0)


def test_an_absent_robot_fails_the_examination(tmp_path, capsys):
    code = main(["doctor", "--robot-ip", "127.77.5.3", "--folder", str(tmp_path)])
    assert code == EXIT_UNFIT
    assert "enable FCI" in capsys.readouterr().out
