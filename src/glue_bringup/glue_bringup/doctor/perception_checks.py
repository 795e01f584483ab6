"""Pure checks of what sees and thinks: camera, GPU, weights, checkpoint, OpenGL, ROS middleware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glue_bringup.doctor.finding import Finding, Level

KNOWN_RMW = ("rmw_cyclonedds_cpp", "rmw_fastrtps_cpp", "rmw_zenoh_cpp")


@dataclass(frozen=True)
class CameraReading:
    """A connected camera.

    Attributes:
        name: Model and serial number.
        usb: Its USB type as the camera says it, e.g. 3.2; None where it does not.
        rate_hz: Frames per second seen; None where it was not started.
        wanted_hz: Frames per second asked for.
    """

    name: str
    usb: str | None
    rate_hz: float | None
    wanted_hz: float


def check_camera(reading: CameraReading | None, reason: str) -> Finding:
    """A live camera must be there, on USB 3, at its rate. None with the reason: none is."""
    if reading is None:
        return Finding(
            "camera", Level.WARN, reason, "connect a RealSense to a USB 3 port; the twin needs none"
        )
    found = f"{reading.name}, USB {reading.usb or 'unknown'}"
    if reading.rate_hz is not None:
        found += f", {reading.rate_hz:.1f} of {reading.wanted_hz:g} frames/s"
    if reading.usb is not None and not reading.usb.startswith("3"):
        return Finding("camera", Level.FAIL, found, "use a USB 3 port and the camera's own cable")
    if reading.rate_hz is None:
        return Finding(
            "camera", Level.NOT_CHECKED, found, "its rate was not measured: it gave no frames in time"
        )
    if reading.rate_hz < 0.9 * reading.wanted_hz:
        return Finding(
            "camera", Level.FAIL, found, "end other programs that use it; give it a USB port of its own"
        )
    return Finding("camera", Level.OK, found)


def check_gpu(names: tuple[str, ...] | None, profile: str) -> Finding:
    """The full profile is slow without a GPU; the embedded one needs none. None: no driver."""
    if names:
        return Finding("GPU", Level.OK, ", ".join(names))
    found = "no NVIDIA driver" if names is None else "none"
    if profile == "embedded":
        return Finding("GPU", Level.OK, f"{found}; profile embedded needs none")
    return Finding("GPU", Level.WARN, found, f"profile {profile} is made for a GPU; see docs/full_profile.md")


def check_weights(states: Mapping[str, str], profile: str) -> Finding:
    """All weights of the profile must be whole; `states` are those of its files by name."""
    if not states:
        return Finding("weights", Level.OK, f"profile {profile} needs none")
    bad = {name: state for name, state in states.items() if state not in ("present", "unchecked")}
    if not bad:
        return Finding("weights", Level.OK, f"{len(states)} files of profile {profile}")
    listed = ", ".join(f"{name} {state}" for name, state in sorted(bad.items()))
    return Finding("weights", Level.FAIL, listed, f"glue weights fetch --profile {profile}")


def check_checkpoint(name: str, problem: str | None) -> Finding:
    """The task's policy must load; `problem` is what its loader said."""
    if problem is None:
        return Finding("checkpoint", Level.OK, name)
    return Finding(
        "checkpoint",
        Level.FAIL,
        problem,
        "train one with 'glue train', or name another in policy: checkpoint",
    )


def check_opengl(back_end: str | None, problem: str) -> Finding:
    """The twin draws off screen."""
    if back_end is not None:
        return Finding("OpenGL for the twin", Level.OK, back_end)
    return Finding(
        "OpenGL for the twin", Level.FAIL, problem.split(". ")[0], problem.partition(". ")[2] or problem
    )


def check_rmw(distribution: str | None, rmw: str | None, variables: Mapping[str, str]) -> Finding:
    """All ROS processes need the same middleware with the same settings.

    Args:
        distribution: ROS_DISTRO; None where no ROS is sourced.
        rmw: RMW_IMPLEMENTATION.
        variables: The environment, for the settings that belong to it.
    """
    name = "ROS middleware"
    if distribution is None:
        return Finding(
            name, Level.NOT_CHECKED, "no ROS here", "source /opt/ros/jazzy/setup.bash for the ROS graph"
        )
    domain = variables.get("ROS_DOMAIN_ID", "0")
    found = f"{distribution}, {rmw or 'default middleware'}, domain {domain}"
    if distribution != "jazzy":
        return Finding(name, Level.WARN, found, "the ROS graph is made for jazzy")
    if rmw is None:
        return Finding(
            name, Level.WARN, found, "set RMW_IMPLEMENTATION, the same for all nodes and the daemon"
        )
    if rmw not in KNOWN_RMW:
        return Finding(name, Level.FAIL, found, f"set RMW_IMPLEMENTATION to one of {', '.join(KNOWN_RMW)}")
    if rmw == "rmw_cyclonedds_cpp" and "CYCLONEDDS_URI" not in variables:
        return Finding(
            name, Level.WARN, found, "set CYCLONEDDS_URI with a large receive buffer, for camera images"
        )
    return Finding(name, Level.OK, found)
