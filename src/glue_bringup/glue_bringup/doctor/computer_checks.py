"""Pure checks of the computer: kernel, privileges, clock frequency, disk, time."""

from __future__ import annotations

from dataclasses import dataclass

from glue_bringup.doctor.finding import Finding, Level

MIN_RTPRIO = 80
"""libfranka asks for the highest real-time priority that the user may have; its documentation sets a limit of 99."""

UNLIMITED = -1
MIN_FREE_GB, LOW_FREE_GB = 5.0, 20.0
MIN_WRITE_MB_S = 50.0
"""One colour stream of 640 x 480 at 30 Hz, uncompressed, is 28 MB/s; twice that leaves room for depth."""


@dataclass(frozen=True)
class KernelReading:
    """What the kernel says of itself.

    Attributes:
        version: As `uname -v` prints it.
        realtime_file: Content of /sys/kernel/realtime, None where there is none.
    """

    version: str
    realtime_file: str | None


def check_kernel(reading: KernelReading, robot_is_real: bool) -> Finding:
    """A real robot ends the motion when packets are late, so its computer needs PREEMPT_RT."""
    name = "real-time kernel"
    if (reading.realtime_file or "").strip() == "1" or "PREEMPT_RT" in reading.version:
        return Finding(name, Level.OK, "PREEMPT_RT")
    level = Level.FAIL if robot_is_real else Level.WARN
    return Finding(
        name,
        level,
        "not a real-time kernel",
        "install a PREEMPT_RT kernel (Ubuntu Pro: 'pro enable realtime-kernel'); the twin needs none",
    )


def check_privileges(rtprio: int, memlock_bytes: int, robot_is_real: bool) -> Finding:
    """Whether this user may have real-time priority and lock memory; limits of -1 mean unlimited."""
    missing = []
    if rtprio != UNLIMITED and rtprio < MIN_RTPRIO:
        missing.append(f"rtprio {rtprio}")
    if memlock_bytes != UNLIMITED and memlock_bytes < 100_000 * 1024:
        missing.append(f"memlock {memlock_bytes // 1024} KiB")
    if not missing:
        return Finding("real-time privileges", Level.OK, "rtprio and memlock suffice")
    level = Level.FAIL if robot_is_real else Level.WARN
    return Finding(
        "real-time privileges",
        level,
        ", ".join(missing),
        "in /etc/security/limits.conf: '@realtime - rtprio 99' and '@realtime - memlock 102400'; add the user to the "
        "group realtime, log in again",
    )


def check_governor(governors: tuple[str, ...]) -> Finding:
    """CPUs that sleep between packets wake too late. Empty: this machine does not say."""
    name = "CPU governor"
    if not governors:
        return Finding(name, Level.NOT_CHECKED, "no cpufreq here (virtual machine, or set by the firmware)")
    slow = sorted(set(governors) - {"performance"})
    if not slow:
        return Finding(name, Level.OK, "performance")
    return Finding(name, Level.WARN, ", ".join(slow), "sudo cpupower frequency-set -g performance")


def check_disk(free_gb: float, write_mb_s: float | None) -> Finding:
    """Room and speed where episodes are recorded."""
    found = f"{free_gb:.0f} GB free" + (f", writes {write_mb_s:.0f} MB/s" if write_mb_s is not None else "")
    if free_gb < MIN_FREE_GB:
        return Finding("disk", Level.FAIL, found, f"free some: recording needs {MIN_FREE_GB:g} GB at least")
    if write_mb_s is None:
        return Finding(
            "disk", Level.NOT_CHECKED, found, "cannot write there: run it in a folder that is yours"
        )
    if write_mb_s < MIN_WRITE_MB_S:
        return Finding("disk", Level.WARN, found, "record to another disk: an SSD, not a network folder")
    if free_gb < LOW_FREE_GB:
        return Finding(
            "disk", Level.WARN, found, f"free some: below {LOW_FREE_GB:g} GB a day's recording may not fit"
        )
    return Finding("disk", Level.OK, found)


def check_clock(synchronised: bool | None) -> Finding:
    """Stamps of several computers are compared, so their clocks must agree. None: nobody says."""
    remedy = "sudo apt-get install chrony, on each computer; then 'chronyc tracking'"
    if synchronised is None:
        return Finding("clock", Level.NOT_CHECKED, "this machine does not tell", remedy)
    if synchronised:
        return Finding("clock", Level.OK, "synchronised")
    return Finding("clock", Level.WARN, "not synchronised", remedy)
