"""From what libfranka says to what a person can do about it."""

from __future__ import annotations

REMEDIES = (
    ("incompatible", "install the franky-control wheel of the libfranka that fits this robot's system version: "
        "a Panda needs libfranka 0.9.x, an FR3 the one from PyPI"),
    ("library version", "install the franky-control wheel of the libfranka that fits this robot's system version"),
    ("refused", "check the robot's address, and enable FCI mode in Desk"),
    ("host not found", "check the robot's address"),
    ("realtime", "install a PREEMPT_RT kernel and give this user real-time priority, or set realtime: ignore"),
    ("reflex", "free the arm from what it touches, then call recover_from_errors"),
    ("communication_constraints", "too many packets were late: use a cable without switch and a real-time kernel"),
    ("discontinuity", "call recover_from_errors and start again; report it if it comes back"),
    ("user stop", "release the external activation device, then start again"),
    ("preempted", "another program has taken the control over; end it and start again"),
    ("timeout", "the robot no longer answers: check its power, its cable and whether it is locked in Desk"),
    ("interrupted", "the connection is broken: check the robot's power and the cable, then connect again"),
    ("net exception", "the connection is broken: check the cable, then connect again"),
    ("i/o error", "the connection is broken: check the cable, then connect again"),
)  # fmt: skip
"""Word in libfranka's message -> what to do; the first that occurs counts."""

MODE_REMEDIES = {
    "Other": "unlock the brakes in Desk and enable FCI mode",
    "Guiding": "let go of the guiding button",
    "Reflex": "free the arm from what it touches, then call recover_from_errors",
    "UserStopped": "release the external activation device (the arm's light must be blue or green)",
    "AutomaticErrorRecovery": "wait until the recovery has ended",
}
"""Robot mode in which no motion can start -> what to do."""


def remedy(message: str) -> str:
    """Return what to do about a message of libfranka's."""
    lower = message.lower()
    known = (advice for word, advice in REMEDIES if word in lower)
    return next(known, "look at Desk for the robot's own message")


def explain(what: str, error: BaseException) -> str:
    """Return one line: what failed, what libfranka said, and what to do."""
    message = " ".join(str(error).removeprefix("libfranka:").split()) or type(error).__name__
    return f"{what}: {message}; {remedy(message)}"
