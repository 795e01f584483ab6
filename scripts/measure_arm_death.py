"""How soon the twin's arm is at rest when the process that drives it is killed, and how far it has moved by then.

python scripts/measure_arm_death.py --repetitions 10

The driver is arm_node's, in a process of its own, which is killed as the arm moves at the task's top speed. The
joints are those of the simulation, 200 times a second.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.shared_frames import SharedFrames
from glue_bringup.sim.twin_process import TwinProcess
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.config import to_mapping

CAMERA = CameraConfig(width_px=8, height_px=8, rate_hz=200.0)
AMPLITUDE_M = 0.08
REST_M_S = 0.005
AFTER_S = 1.5
PACKET = 1 << 16


def drive(task: TaskConfig, address: str) -> None:
    """Move the arm up; at the task's top speed say what time it is, and kill this process."""
    from glue_bringup.arm.franky_arm import FrankyArm

    arm = FrankyArm(task.robot.arm_config(address, RobotModel.FR3), task.gains)
    arm.start()
    start, begun_s = arm.state().T_base_ee, time.monotonic()
    rate_rad_s = task.safety.motion.translation_velocity_m_s / AMPLITUDE_M
    while True:
        phase = rate_rad_s * (time.monotonic() - begun_s)
        target = start.copy()
        target[2, 3] += AMPLITUDE_M * (1.0 - np.cos(phase))
        arm.set_target(target)
        arm.state()
        if phase > np.pi / 2:
            print(time.time_ns(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)


@contextmanager
def robot(task: TaskConfig, seed: int) -> Iterator[tuple[str, socket.socket]]:
    """Start the simulated robot without its renderer; yield its address and what would go to the renderer."""
    shared = SharedFrames.create(CAMERA.width_px, CAMERA.height_px)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    settings = {
        "task": task.task,
        "seed": seed,
        "condition": "in_domain",
        "camera": to_mapping(CAMERA),
        "frames_fd": shared.fd,
        "states_fd": its.fileno(),
    }
    process = TwinProcess("glue_bringup.sim.protocol_server", settings, [shared.fd, its.fileno()])
    try:
        yield process.wait_ready()["robot_ip"], ours
    finally:
        process.hang_up()
        process.stop()
        ours.close()
        its.close()
        shared.close()


def measure(task: TaskConfig, seed: int) -> tuple[float, float, float]:
    """Return the speed at the kill [mm/s], the time until rest [ms] and the way until then [mm]."""
    kinematics = ArmKinematics(limits_for(RobotModel.FR3))
    stamps, tools, killed_ns = [], [], 0
    with robot(task, seed) as (address, states):
        command = [sys.executable, __file__, "--task", task.task, "--drive", address]
        driver = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert driver.stdout is not None  # noqa: S101 - asked for above
        said: list[bytes] = []
        listener = threading.Thread(target=lambda: said.append(driver.stdout.readline()))
        listener.start()
        while not killed_ns or stamps[-1] < killed_ns + AFTER_S * 1e9:
            killed_ns = int(said[0]) if said else 0
            packet = states.recv(PACKET)
            stamps.append(int(np.frombuffer(packet[:8], np.int64)[0]))
            tools.append(kinematics.flange_pose(np.frombuffer(packet[16:], np.float64)[:7])[:3, 3])
        driver.communicate()
    after_s = (np.array(stamps[1:]) - killed_ns) / 1e9
    speed_m_s = np.linalg.norm(np.diff(tools, axis=0), axis=1) / (np.diff(stamps) / 1e9)
    moving = (after_s > 0.0) & (speed_m_s > REST_M_S)
    rest = int(np.nonzero(moving)[0].max()) + 1
    first = int(np.nonzero(after_s > 0.0)[0].min())
    way_m = np.linalg.norm(np.diff(tools[first : rest + 1], axis=0), axis=1).sum()
    return (
        1e3 * float(np.median(speed_m_s[first - 10 : first])),
        1e3 * float(after_s[rest]),
        1e3 * float(way_m),
    )


def main() -> None:
    """Print a row for every kill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="push_button")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    given = parser.parse_args()
    task = load_task(given.task)
    if given.drive:
        drive(task, given.drive)
    print("| speed at the kill | slower than 5 mm/s for good after | way until then |\n|---|---|---|")
    for seed in range(given.repetitions):
        speed_mm_s, rest_ms, way_mm = measure(task, seed)
        print(f"| {speed_mm_s:.0f} mm/s | {rest_ms:.0f} ms | {way_mm:.1f} mm |", flush=True)


if __name__ == "__main__":
    main()
