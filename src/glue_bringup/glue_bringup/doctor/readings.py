"""Reads what the checks look at. Every function answers None or empty where this machine does not tell."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from glue_bringup.doctor.computer_checks import KernelReading
from glue_bringup.doctor.perception_checks import CameraReading
from glue_perception.errors import GlueError

WRITE_MB = 64
_COMMAND_TIMEOUT_S = 10.0


def read_kernel() -> KernelReading:
    """Return what the kernel says of itself."""
    return KernelReading(platform.version(), _text(Path("/sys/kernel/realtime")))


def read_limits() -> tuple[int, int]:
    """Return this process's limits of real-time priority and of locked memory [bytes]; -1 is unlimited."""
    return resource.getrlimit(resource.RLIMIT_RTPRIO)[0], resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]


def read_governors() -> tuple[str, ...]:
    """Return the frequency governor of each CPU."""
    files = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return tuple(text.strip() for f in files if (text := _text(f)))


def read_disk(folder: Path) -> tuple[float, float | None]:
    """Return free room [GB] and the speed of writing through to the disk [MB/s]; None where not writable."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb * 1e3 < 10 * WRITE_MB:
        return free_gb, None
    block = os.urandom(1 << 20)
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            begin_s = time.perf_counter()
            for _ in range(WRITE_MB):
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
            return free_gb, WRITE_MB * 1.048576 / (time.perf_counter() - begin_s)
    except OSError:
        return free_gb, None


def read_clock() -> bool | None:
    """Return whether the clock is synchronised, as systemd or chrony says."""
    said = _output("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if said in ("yes", "no"):
        return said == "yes"
    said = _output("chronyc", "tracking")
    return None if said is None else "Leap status     : Normal" in said


def read_round_trips(address: str, count: int = 20) -> tuple[float, ...] | None:
    """Return round trips in ms: by ping, as large as the robot's packets; else None."""
    said = _output("ping", "-n", "-c", str(count), "-i", "0.2", "-s", "1200", "-W", "1", address)
    return round_trips_in(said) if said is not None else None


def round_trips_in(ping_output: str) -> tuple[float, ...] | None:
    """Return the times [ms] in what ping printed."""
    return tuple(float(m) for m in re.findall(r"time[=<]([0-9.]+) ?ms", ping_output)) or None


def read_gpus() -> tuple[str, ...] | None:
    """Return the names of NVIDIA GPUs; None without a driver."""
    said = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    return None if said is None else tuple(line.strip() for line in said.splitlines() if line.strip())


def read_camera(wanted_hz: float, seconds: float = 1.0) -> tuple[CameraReading | None, str]:
    """Return the connected RealSense with the rate it gives, or None and why there is none."""
    try:
        from glue_perception.cameras.realsense import find_device, load_sdk
        from glue_perception.cameras.sources import open_camera

        sdk = load_sdk()
        device = find_device(sdk, sdk.context(), None)
        usb = device.get_info(sdk.camera_info.usb_type_descriptor)
        name = f"{device.get_info(sdk.camera_info.name)} {device.get_info(sdk.camera_info.serial_number)}"
    except GlueError as error:
        return None, str(error)
    rate_hz: float | None = None
    try:
        camera = open_camera("realsense")
        try:
            stamps: list[int] = []
            end_s = time.monotonic() + seconds + 3.0
            while time.monotonic() < end_s and (len(stamps) < 2 or stamps[-1] - stamps[0] < seconds * 1e9):
                frame = camera.read(3.0)
                if frame is None:
                    break
                stamps.append(frame.stamp_ns)
            if len(stamps) > 1:
                rate_hz = (len(stamps) - 1) / ((stamps[-1] - stamps[0]) / 1e9)
        finally:
            camera.close()
    except GlueError:
        rate_hz = None
    return CameraReading(name, usb, rate_hz, wanted_hz), ""


def resolve(address: str) -> str | None:
    """Return the numbers of a host's address; None for an unknown host."""
    try:
        return socket.gethostbyname(address)
    except OSError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _output(*command: str) -> str | None:
    """Return what a command prints, None where it is missing, fails or hangs."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
