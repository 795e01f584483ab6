"""The franky drivers against franky-sim, which speaks the robot's own protocol."""

import contextlib
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glue_bringup.arm.franky_arm import FrankyArm, FrankyArmConfig, Realtime
from glue_bringup.arm.franky_faults import ArmFault, ArmFaultError, explain
from glue_bringup.arm.impedance_gains import ImpedanceGains
from glue_bringup.arm.limits import RobotModel
from glue_bringup.arm.model_check import model_in, model_of_server
from glue_bringup.gripper.franky_gripper import FrankyGripper, FrankyGripperConfig
from glue_perception.errors import ConfigError, HardwareError, NotReadyError

pytest.importorskip("franky", reason="needs franky-control")
pytest.importorskip("franky_sim", reason="needs franky-sim")

SERVER = Path(__file__).with_name("franky_sim_server.py")


@dataclass
class SimulatedRobot:
    address: str
    process: subprocess.Popen[str]
    arms: list[FrankyArm] = field(default_factory=list)

    def arm(
        self, model: RobotModel = RobotModel.FR3, gripper: FrankyGripper | None = None, **settings: Any
    ) -> FrankyArm:
        width_m: Callable[[], float] = gripper.width_m if gripper else lambda: 0.0
        # Patient, as the simulated robot shares this machine with other work.
        settings = {"silence_timeout_s": 3.0, "connect_timeout_s": 10.0, "target_timeout_s": 3.0} | settings
        arm = FrankyArm(FrankyArmConfig(self.address, model, **settings), ImpedanceGains(), width_m)
        self.arms.append(arm)
        return arm

    def let_go(self) -> None:
        while self.arms:
            self.arms.pop().close()

    def inject(self, fault: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(fault + "\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def simulated_robot(*addresses: str) -> Iterator[SimulatedRobot]:
    command = [sys.executable, str(SERVER), *addresses]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "franky-sim did not start"
        yield SimulatedRobot(address, process)
        process.kill()


@pytest.fixture(scope="module")
def standing_robot() -> Iterator[SimulatedRobot]:
    with simulated_robot() as robot:
        yield robot


@pytest.fixture
def robot(standing_robot: SimulatedRobot) -> Iterator[SimulatedRobot]:
    """One robot for many tests, as starting it takes seconds; well again and alone at the begin of each."""
    standing_robot.inject("well")
    time.sleep(0.1)
    yield standing_robot
    standing_robot.let_go()
    gc.collect()  # an arm that was refused when built lives on in its exception


@pytest.fixture
def mortal_robot() -> Iterator[SimulatedRobot]:
    with simulated_robot() as robot:
        yield robot


def fault_of(arm: FrankyArm, timeout_s: float = 5.0) -> ArmFaultError:
    """Drive at the current pose until it fails; return what was raised."""
    target = arm.state().T_base_ee
    end_s = time.monotonic() + timeout_s
    try:
        while time.monotonic() < end_s:
            arm.state()
            arm.set_target(target)
            time.sleep(0.01)
    except ArmFaultError as error:
        return error
    raise AssertionError("nothing failed")


@contextlib.contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """A port 1337 that accepts and sends `answer`, or nothing at all."""
    address = "127.77.0.1"
    with socket.create_server((address, 1337)) as server:

        def work() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer or b"")
                    connection.recv(1000)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield address


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True


def test_arm_starts_without_a_jump_follows_and_stops_twice(robot):
    arm = robot.arm()
    before = arm.state()
    assert before.joint_position_rad[5] == pytest.approx(1.57, abs=0.02)
    with pytest.raises(NotReadyError, match="call start first"):
        arm.set_target(before.T_base_ee)
    arm.start()
    target = before.T_base_ee.copy()
    drift_m = 0.0
    for _ in range(40):
        drift_m = max(drift_m, float(np.linalg.norm(arm.state().T_base_ee[:3, 3] - before.T_base_ee[:3, 3])))
        time.sleep(0.01)
    assert drift_m < 0.002
    for step in range(100):
        target[1, 3] = before.T_base_ee[1, 3] + 0.0005 * step
        arm.set_target(target)
        time.sleep(0.01)
    time.sleep(1.0)
    reached = arm.state()
    assert np.linalg.norm(reached.T_base_ee[:3, 3] - target[:3, 3]) < 0.015
    assert abs(time.time_ns() - reached.stamp_ns) < 50_000_000
    arm.stop()
    arm.stop()
    arm.start()
    assert np.linalg.norm(arm.state().T_base_ee[:3, 3] - target[:3, 3]) < 0.02
    arm.stop()


def test_state_is_cheap_under_control(robot):
    arm = robot.arm()
    arm.start()
    start_s = time.thread_time()  # the processor's time: others may be at work
    for _ in range(200):
        arm.state()
    assert time.thread_time() - start_s < 0.4
    arm.stop()


def test_killed_robot_is_reported_soon_and_stop_returns(mortal_robot):
    arm = mortal_robot.arm()
    arm.start()
    mortal_robot.process.kill()
    # Half a second of silence and a second of libfranka's; beside other work it took 3 s.
    end_s = time.monotonic() + 15.0
    with pytest.raises(HardwareError, match="check"):
        while time.monotonic() < end_s:
            state = arm.state()
            arm.set_target(state.T_base_ee)
            time.sleep(0.01)
    arm.stop()
    arm.stop()
    assert time.monotonic() < end_s + 5.0
    with pytest.raises(HardwareError, match="cable"):
        arm.start()


@pytest.mark.parametrize(
    ("index", "fault", "advice"),
    [
        (7, ArmFault.REFLEX, "free the arm"),
        (0, ArmFault.JOINT_LIMIT, "guide it back"),
        (14, ArmFault.REFLEX, "not smooth"),
        (25, ArmFault.COMMUNICATION, "real-time kernel"),
    ],
)
def test_a_fault_is_told_by_its_cause_and_recover_brings_the_arm_back(robot, index, fault, advice):
    arm = robot.arm()
    arm.start()
    arm.set_target(arm.state().T_base_ee)
    # A fault from before a busy robot begins to move would leave the motion without an answer.
    time.sleep(0.3)
    robot.inject(f"fault {index}")
    error = fault_of(arm)
    assert error.fault is fault, str(error)
    assert advice in str(error)
    arm.stop()
    assert wait_until(lambda: arm._robot.state.robot_mode.name == "Reflex", 20.0)
    with pytest.raises(ArmFaultError, match="mode Reflex"):
        arm.start()
    before = arm.state().T_base_ee
    arm.recover()
    arm.start()
    time.sleep(0.2)
    assert np.linalg.norm(arm.state().T_base_ee[:3, 3] - before[:3, 3]) < 0.003
    arm.stop()


def test_a_robot_that_needs_a_person_does_not_recover(robot):
    arm = robot.arm()
    arm.start()
    time.sleep(0.3)
    robot.inject("fault 7")
    fault_of(arm)
    robot.inject("stuck")
    time.sleep(0.1)
    with pytest.raises(HardwareError, match="recover"):
        arm.recover()
    robot.inject("well")


def test_a_rejected_motion_says_so(robot):
    arm = robot.arm()
    robot.inject("reject")
    time.sleep(0.1)
    try:
        arm.start()
        error = fault_of(arm)
    except ArmFaultError as refused:  # where libfranka waits for the answer
        error = refused
    assert error.fault is ArmFault.REJECTED, str(error)
    assert "Desk" in str(error)
    arm.stop()
    robot.inject("well")
    time.sleep(0.1)
    arm.recover()
    arm.start()
    arm.state()


def test_a_frozen_robot_is_noticed_and_goes_on_after_recover(robot):
    arm = robot.arm()
    arm.start()
    os.kill(robot.process.pid, signal.SIGSTOP)
    error = fault_of(arm)
    assert error.fault is ArmFault.CONNECTION, str(error)
    os.kill(robot.process.pid, signal.SIGCONT)
    arm.recover()
    arm.start()
    arm.state()
    arm.stop()


def test_recover_connects_again_to_a_robot_that_was_away():
    address = "127.77.9.1"  # of its own: another simulation may take the first free one meanwhile
    with simulated_robot(address) as robot:
        arm = robot.arm()
        arm.start()
    fault_of_lost = fault_of_gone(arm)
    assert fault_of_lost.fault is ArmFault.CONNECTION
    with pytest.raises(ArmFaultError, match="cannot connect") as caught:
        arm.recover()
    assert caught.value.fault is ArmFault.CONNECTION
    with simulated_robot(address):
        arm.recover()
        arm.start()
        arm.state()
        arm.stop()


def fault_of_gone(arm: FrankyArm) -> ArmFaultError:
    end_s = time.monotonic() + 5.0
    try:
        while time.monotonic() < end_s:
            arm.state()
            time.sleep(0.01)
    except ArmFaultError as error:
        return error
    raise AssertionError("the loss went unnoticed")


def test_an_arm_whose_caller_is_gone_comes_to_rest(robot):
    arm = robot.arm(target_timeout_s=0.3)
    arm.start()
    time.sleep(0.6)
    target = arm.state().T_base_ee.copy()
    target[1, 3] += 0.04
    arm.set_target(target)
    assert wait_until(lambda: not arm._robot.is_in_control, 20.0)
    with pytest.raises(ArmFaultError, match="no target came") as caught:
        arm.set_target(target)
    assert caught.value.fault is ArmFault.TARGET_TIMEOUT
    arm.stop()
    arm.start()
    arm.state()
    arm.stop()


def test_a_robot_tells_its_model():
    assert model_in('<?xml version="1.0"?><robot name="fr3v2">') is RobotModel.FR3
    assert model_in('<robot version="1" name="panda">') is RobotModel.PANDA
    assert model_in('<robot name="ur5">') is None
    assert model_of_server(5) is RobotModel.PANDA
    assert model_of_server(6) is RobotModel.FR3


def test_fr3_is_not_taken_for_a_panda(robot):
    with pytest.raises(HardwareError, match="set robot_model: fr3"):
        robot.arm(RobotModel.PANDA)


def test_refused_connection_names_the_remedy():
    start_s = time.monotonic()
    with pytest.raises(HardwareError, match=r"127\.77\.0\.2.*enable FCI"):
        FrankyArm(FrankyArmConfig("127.77.0.2", RobotModel.FR3), ImpedanceGains())
    assert time.monotonic() - start_s < 10.0


def test_robot_that_accepts_but_is_silent_times_out():
    start_s = time.monotonic()
    with listener(None) as address, pytest.raises(HardwareError, match="port 1337 is open"):
        config = FrankyArmConfig(address, RobotModel.FR3, connect_timeout_s=0.5)
        FrankyArm(config, ImpedanceGains())
    assert time.monotonic() - start_s < 10.0


def test_other_server_version_asks_for_the_right_wheel():
    # Reply to Connect: header (command, id, size), then status 1 (incompatible) and the server's version 5: a Panda.
    reply = struct.pack("<III", 0, 0, 20) + struct.pack("<HH4x", 1, 5)
    with listener(reply) as address, pytest.raises(HardwareError, match=r"Panda needs libfranka 0\.9"):
        FrankyArm(FrankyArmConfig(address, RobotModel.PANDA), ImpedanceGains())


@pytest.mark.skipif(Path("/sys/kernel/realtime").exists(), reason="this kernel is a real-time one")
def test_real_time_that_is_not_to_be_had_is_reported(robot):
    with pytest.raises(HardwareError, match="PREEMPT_RT"):
        FrankyArm(FrankyArmConfig(robot.address, RobotModel.FR3, Realtime.ENFORCE), ImpedanceGains())


def test_gripper_moves_in_the_background_and_reads_its_width(robot):
    gripper = FrankyGripper(robot.address)
    opening_m = gripper.width_m()
    start_s = time.perf_counter()
    gripper.command(0.0)
    gripper.command(0.06)
    gripper.command(0.001)
    assert time.perf_counter() - start_s < 0.5  # the whole way takes a second
    assert opening_m > 0.02
    assert wait_until(lambda: gripper.width_m() < 0.003, 20.0)
    gripper.command(0.08)
    assert wait_until(lambda: gripper.width_m() > 0.075, 20.0)
    gripper.command(0.077)
    time.sleep(0.3)
    assert gripper.width_m() > 0.0775, "within the dead band nothing moves"
    gripper.stop()
    gripper.stop()


def test_gripper_fault_is_raised_by_the_next_command(mortal_robot):
    gripper = FrankyGripper(mortal_robot.address, FrankyGripperConfig(motion_timeout_s=1.0))
    gripper.command(0.08)
    mortal_robot.process.kill()
    end_s = time.monotonic() + 15.0  # a second of time-out, and what a busy machine adds
    with pytest.raises(HardwareError, match="gripper"):
        while time.monotonic() < end_s:
            gripper.command(0.0)
            gripper.command(0.08)
            time.sleep(0.02)
    gripper.stop()
    assert time.monotonic() < end_s + 5.0


def test_missing_gripper_is_reported():
    with pytest.raises(HardwareError, match=r"gripper at 127\.77\.0\.4"):
        FrankyGripper("127.77.0.4")


def test_state_carries_the_gripper_width(robot):
    gripper = FrankyGripper(robot.address)
    assert robot.arm(gripper=gripper).state().gripper_width_m == pytest.approx(gripper.width_m(), abs=1e-4)
    gripper.stop()


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ('Move command aborted: motion aborted by reflex! ["cartesian_reflex"]', "call recover"),
        ("Running kernel does not have realtime capabilities.", "PREEMPT_RT"),
        ("UDP receive: Timeout", "power"),
        ("something new", "Desk"),
    ],
)
def test_faults_come_with_a_remedy(message, advice):
    assert advice in explain("the robot stopped", RuntimeError(f"libfranka: {message}"))


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="robot_ip is empty"):
        FrankyArmConfig(" ", RobotModel.FR3)
    with pytest.raises(ConfigError, match="collision_force_n"):
        FrankyArmConfig("172.16.0.2", RobotModel.FR3, collision_force_n=0.0)
    with pytest.raises(ConfigError, match="speed_m_s"):
        FrankyGripperConfig(speed_m_s=0.5)
