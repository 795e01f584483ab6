"""From what libfranka says to its cause and what a person can do about it."""

from __future__ import annotations

from enum import Enum

from glue_perception.errors import HardwareError


class ArmFault(Enum):
    """Why the arm does not obey, by cause."""

    CONNECTION = "connection"
    """No answer any more, or never one."""
    COMMUNICATION = "communication"
    """The robot answers, but too many packets are late."""
    REFLEX = "reflex"
    """Contact, or a motion that the robot itself judged too fast, too strong or not smooth."""
    JOINT_LIMIT = "joint_limit"
    """At the end of a joint's range, or at its top speed."""
    REJECTED = "rejected"
    """The robot is in a mode in which it takes no command."""
    VERSION = "version"
    """libfranka, the robot's system and the configured model do not fit together."""
    REALTIME = "realtime"
    """This computer gives no real-time priority."""
    TARGET_TIMEOUT = "target_timeout"
    """Our own time-out: nobody has set a target any more."""
    UNKNOWN = "unknown"
    """Something new."""


class ArmFaultError(HardwareError):
    """The arm stopped or refuses; the message says what was found and what to do.

    Attributes:
        fault: The cause, for programs.
    """

    def __init__(self, message: str, fault: ArmFault) -> None:
        super().__init__(message)
        self.fault = fault


_RECOVER = "call recover, then start again"

REMEDIES = (
    ("incompatible", ArmFault.VERSION, "install the franky-control wheel of the libfranka that fits this robot's "
        "system version: a Panda needs libfranka 0.9.x, an FR3 the one from PyPI"),
    ("library version", ArmFault.VERSION,
        "install the franky-control wheel of the libfranka that fits this robot's system version"),
    ("refused", ArmFault.CONNECTION, "check the robot's address, and enable FCI mode in Desk"),
    ("host not found", ArmFault.CONNECTION, "check the robot's address"),
    ("realtime", ArmFault.REALTIME,
        "install a PREEMPT_RT kernel and give this user real-time priority, or set realtime: ignore"),
    ("communication_constraints", ArmFault.COMMUNICATION,
        f"too many packets were late: use a cable without switch and a real-time kernel; {_RECOVER}"),
    ("joint_position_limits", ArmFault.JOINT_LIMIT,
        "a joint is at the end of its range: guide it back by hand (hold the guiding button), then "
        f"{_RECOVER}; keep targets further from the ends of the ranges"),
    ("position_limits_violation", ArmFault.JOINT_LIMIT,
        f"a target was beyond the robot's range: {_RECOVER}, and keep targets inside the workspace box"),
    ("velocity_limits", ArmFault.JOINT_LIMIT,
        f"the motion was faster than allowed: {_RECOVER}, and lower safety.motion"),
    ("joint_velocity_violation", ArmFault.JOINT_LIMIT,
        f"a joint was faster than allowed: {_RECOVER}, and lower safety.motion"),
    ("discontinuity", ArmFault.REFLEX, f"the command was not smooth: {_RECOVER}; report it if it comes back"),
    ("self_collision", ArmFault.REFLEX,
        f"the arm came near to itself: guide it apart by hand, then {_RECOVER}"),
    ("reflex", ArmFault.REFLEX, f"free the arm from what it touches, then {_RECOVER}"),
    ("user stop", ArmFault.REJECTED, "release the external activation device, then start again"),
    ("safety function", ArmFault.REJECTED,
        "a safety function is active: release it (Desk names it), then start again"),
    ("rejected", ArmFault.REJECTED,
        "the robot takes no command now: look at its mode in Desk, then start again"),
    ("not possible", ArmFault.REJECTED,
        "the robot takes no command now: look at its mode in Desk, then start again"),
    ("preempted", ArmFault.REJECTED, "another program has taken the control over; end it and start again"),
    ("timeout", ArmFault.CONNECTION,
        "the robot no longer answers: check its power, its cable and the lock in Desk; then call recover"),
    ("interrupted", ArmFault.CONNECTION,
        "the connection is broken: check the robot's power and the cable; then call recover, which connects again"),
    ("net exception", ArmFault.CONNECTION, "the connection is broken: check the cable; then call recover"),
    ("closed", ArmFault.CONNECTION, "the connection is broken: check the cable; then call recover"),
    ("i/o error", ArmFault.CONNECTION, "the connection is broken: check the cable; then call recover"),
    ("aborted", ArmFault.REJECTED,
        "the robot ended or refused the motion: look at Desk for the reason, then call recover"),
)  # fmt: skip
"""Word in libfranka's message, its cause, what to do; the first that occurs counts, so the particular comes first."""

MODE_REMEDIES = {
    "Other": (ArmFault.REJECTED, "unlock the brakes in Desk and enable FCI mode"),
    "Guiding": (ArmFault.REJECTED, "let go of the guiding button"),
    "Reflex": (ArmFault.REFLEX, f"free the arm from what it touches, then {_RECOVER}"),
    "UserStopped": (
        ArmFault.REJECTED,
        "release the external activation device (the arm's light must be blue or green)",
    ),
    "AutomaticErrorRecovery": (ArmFault.REJECTED, "wait until the recovery has ended"),
}
"""Robot mode in which no motion can start: cause, what to do."""


def classify(message: str) -> tuple[ArmFault, str]:
    """Return the cause behind a message of libfranka's, and what to do about it."""
    lower = message.lower()
    known = ((fault, advice) for word, fault, advice in REMEDIES if word in lower)
    return next(known, (ArmFault.UNKNOWN, "look at Desk for the robot's own message"))


def fault_error(what: str, error: BaseException) -> ArmFaultError:
    """Return the error to raise: what failed, what libfranka said, and what to do, in one line."""
    message = " ".join(str(error).removeprefix("libfranka:").split()) or type(error).__name__
    fault, advice = classify(message)
    return ArmFaultError(f"{what}: {message}; {advice}", fault)


def explain(what: str, error: BaseException) -> str:
    """Return the message of `fault_error`."""
    return str(fault_error(what, error))
