"""Pure checks of the robot and the network to it."""

from __future__ import annotations

from glue_bringup.arm.handshake import ServerAnswer
from glue_bringup.arm.limits import RobotModel
from glue_bringup.arm.model_check import model_of_server
from glue_bringup.doctor.finding import Finding, Level

MAX_ROUND_TRIP_MS = 0.5
FAIL_ROUND_TRIP_MS = 1.0
"""A command must be back before the next packet, a millisecond later; half of that is for the computation."""

NO_ADDRESS = "give --robot-ip"


def check_round_trip(round_trip_ms: tuple[float, ...] | None, asked: bool) -> Finding:
    """Compare the slowest of some round trips with the robot's millisecond. None: no answer."""
    name = "round trip to the robot"
    if not asked:
        return Finding(name, Level.NOT_CHECKED, "no robot named", NO_ADDRESS)
    if not round_trip_ms:
        return Finding(
            name,
            Level.FAIL,
            "no answer",
            "check address, cable and power; the robot needs a network port of its own, without a switch",
        )
    ordered = sorted(round_trip_ms)
    median, worst = ordered[len(ordered) // 2], ordered[-1]
    found = f"median {median:.2f} ms, worst of {len(ordered)} {worst:.2f} ms"
    remedy = "connect the robot directly by cable to a port of its own; switch off the port's power saving"
    if median >= FAIL_ROUND_TRIP_MS:
        return Finding(name, Level.FAIL, found, remedy)
    return (
        Finding(name, Level.OK, found)
        if worst < MAX_ROUND_TRIP_MS
        else Finding(name, Level.WARN, found, remedy)
    )


def check_server(
    answer: ServerAnswer | None, library_version: int | None, model: RobotModel, asked: bool
) -> Finding:
    """Compare the robot's server with the installed libfranka and with the configured model.

    Args:
        answer: What the robot's server said; None if nothing.
        library_version: The server version that the installed libfranka speaks; None without franky.
        model: As configured.
        asked: Whether a robot was named.
    """
    name = "robot server version"
    if not asked:
        return Finding(name, Level.NOT_CHECKED, "no robot named", NO_ADDRESS)
    if answer is None:
        return Finding(
            name,
            Level.FAIL,
            "no answer",
            "unlock the robot and enable FCI in Desk; end other programs that hold it",
        )
    found_model = model_of_server(answer.version)
    found = f"server {answer.version} ({found_model.value}), libfranka speaks {library_version or 'nothing'}"
    if library_version is None:
        return Finding(name, Level.FAIL, found, "pip install franky-control")
    if answer.version != library_version:
        wheel = (
            "for libfranka 0.9.x"
            if found_model is RobotModel.PANDA
            else "from PyPI, or for its system version"
        )
        return Finding(
            name, Level.FAIL, found, f"install the franky-control wheel {wheel}; see docs/robot.md"
        )
    if found_model is not model:
        return Finding(
            name, Level.FAIL, found, f"the task says robot: model: {model.value}; set {found_model.value}"
        )
    return Finding(name, Level.OK, found)
