"""The supervisor's decisions as pure functions of few values, so that all of them can be tested."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from glue_bringup.safety.reasons import Reason


class SupervisorMode(Enum):
    """ACTIVE: follows the chunk. HOLD_RAMP: braking within the limits. HOLD: at rest."""

    ACTIVE = "active"
    HOLD_RAMP = "hold_ramp"
    HOLD = "hold"


@dataclass(frozen=True)
class Latches:
    """What stays until the operator ends it.

    Attributes:
        emergency: Why the emergency stop is on; None if it is off.
        operator: Why the operator holds the arm; None if not.
    """

    emergency: str | None = None
    operator: str | None = None


class OperatorAction(Enum):
    """What an operator can do."""

    EMERGENCY_STOP = "emergency_stop"
    RESET_EMERGENCY_STOP = "reset_emergency_stop"
    HOLD = "hold"
    RELEASE = "release"


def after(latches: Latches, action: OperatorAction, words: str = "") -> Latches:
    """Return the latches after an operator's action. Neither opens the other; a stop keeps its first cause."""
    if action is OperatorAction.EMERGENCY_STOP:
        return Latches(latches.emergency or words or "operator", latches.operator)
    if action is OperatorAction.RESET_EMERGENCY_STOP:
        return Latches(None, latches.operator)
    if action is OperatorAction.HOLD:
        return Latches(latches.emergency, words or "operator")
    return Latches(latches.emergency, None)


def hold_reason(
    latches: Latches, clock: Reason | None, watched: Reason | None, chunk: Reason | None
) -> str | None:
    """Return the reason to hold, the gravest first: emergency stop, operator, clock, inputs, chunk; None to move.

    Args:
        latches: The operator's.
        clock: CLOCK_BACKWARDS or None.
        watched: What the watchdogs found.
        chunk: WAITING, CHUNK_EXPIRED, STALE_CHUNK or None.
    """
    if latches.emergency is not None:
        return str(Reason.EMERGENCY_STOP)
    return latches.operator or clock or watched or chunk


def next_mode(reason: str | None, at_rest: bool) -> SupervisorMode:
    """Return the mode of this tick.

    Args:
        reason: As returned by `hold_reason`.
        at_rest: Whether the commanded pose stands still after this tick.
    """
    if reason is None:
        return SupervisorMode.ACTIVE
    return SupervisorMode.HOLD if at_rest else SupervisorMode.HOLD_RAMP


TRANSITIONS: tuple[tuple[SupervisorMode, str, SupervisorMode], ...] = (
    (SupervisorMode.ACTIVE, "a reason to hold, still moving", SupervisorMode.HOLD_RAMP),
    (SupervisorMode.ACTIVE, "a reason to hold, already at rest", SupervisorMode.HOLD),
    (SupervisorMode.HOLD_RAMP, "at rest", SupervisorMode.HOLD),
    (SupervisorMode.HOLD_RAMP, "no reason left, and a chunk in force", SupervisorMode.ACTIVE),
    (SupervisorMode.HOLD, "no reason left, and a chunk in force", SupervisorMode.ACTIVE),
)
"""From, when, to; every mode may also stay. There is no way from HOLD to HOLD_RAMP: what rests stays at rest."""
