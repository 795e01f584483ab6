"""The faults of the supervisor's inputs, injected in simulated time, each with what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from glue_bringup.faults.bench import SafetyBench
from glue_bringup.safety.reasons import Reason

MAX_HOLD_DELAY_S = 0.2
"""From the fault to the beginning of the hold."""


BY_ITSELF = "by itself, once the cause is gone"


class FaultKind(Enum):
    """What is at fault."""

    CAMERA = "camera"
    TRACKS = "tracks"
    POLICY = "policy"
    CHUNK = "chunk"
    STATE = "state"
    NETWORK = "network"
    PROCESS = "process"
    DISK = "disk"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: Short, unique.
        kind: What is at fault.
        reason: Why the arm is held, or None if the fault must be endured without a hold: then nothing of it may reach
            the arm.
        inject: Makes the bench have it from now on.
        end: What the operator has to do once the cause is gone; nothing by default.
        recovery: The same in words.
    """

    name: str
    kind: FaultKind
    reason: str | None
    inject: Callable[[SafetyBench], None]
    end: Callable[[SafetyBench], None] = lambda bench: None
    recovery: str = BY_ITSELF


def _set(name: str, value: object) -> Callable[[SafetyBench], None]:
    def inject(bench: SafetyBench) -> None:
        setattr(bench, name, value)

    return inject


def _spoiled(name: str, value: float) -> Callable[[SafetyBench], None]:
    def inject(bench: SafetyBench) -> None:
        bench.spoil_chunk = lambda values: values | {name: np.full_like(values[name], value)}

    return inject


def _moved_in_time(offset_s: float) -> Callable[[SafetyBench], None]:
    def inject(bench: SafetyBench) -> None:
        bench.spoil_chunk = lambda values: values | {"stamp_ns": values["stamp_ns"] + round(offset_s * 1e9)}

    return inject


FAULTS: tuple[Fault, ...] = (
    Fault("camera delivers nothing", FaultKind.CAMERA, Reason.STALE_FRAME, _set("frames", False)),
    Fault("camera repeats an old stamp", FaultKind.CAMERA, Reason.STALE_FRAME, _set("frame_age_s", 10.0)),
    Fault("camera lags by 1 s", FaultKind.CAMERA, Reason.STALE_FRAME, _set("frame_age_s", 1.0)),
    Fault("perception hangs", FaultKind.TRACKS, Reason.STALE_KEY_PATCHES, _set("key_patches", False)),
    Fault("all tracks lost", FaultKind.TRACKS, Reason.TRACKS_LOST, _set("tracked", 0)),
    Fault("policy dies", FaultKind.POLICY, Reason.STALE_CHUNK, _set("chunks", False)),
    Fault("policy answers NaN", FaultKind.CHUNK, Reason.STALE_CHUNK, _spoiled("position_m", np.nan)),
    Fault(
        "policy answers in millimetres", FaultKind.CHUNK, Reason.STALE_CHUNK, _spoiled("position_m", 450.0)
    ),
    Fault("rotation columns are zero", FaultKind.CHUNK, Reason.STALE_CHUNK, _spoiled("rotation_6d", 0.0)),
    Fault("chunk from the future", FaultKind.CHUNK, Reason.STALE_CHUNK, _moved_in_time(5.0)),
    Fault("chunk of an old image", FaultKind.CHUNK, Reason.STALE_CHUNK, _moved_in_time(-5.0)),
    Fault("chunk leaps to a corner", FaultKind.CHUNK, None, _spoiled("position_m", 0.79)),
    Fault("chunk far outside the box", FaultKind.CHUNK, None, _spoiled("position_m", 4.0)),
    Fault("gripper width of 1 km", FaultKind.CHUNK, None, _spoiled("gripper_width_m", 1000.0)),
    Fault("robot state freezes", FaultKind.STATE, Reason.STALE_STATE, _set("states", False)),
    Fault("robot state leaps by 0.2 m", FaultKind.STATE, Reason.STATE_JUMP, _set("state_offset_m", 0.2)),
    Fault("joint runs away", FaultKind.STATE, Reason.JOINT_VELOCITY, _set("joint_velocity_rad_s", 10.0)),
    Fault("joint at its end", FaultKind.STATE, Reason.JOINT_POSITION, _set("joint_offset_rad", 6.0)),
    Fault("push of 60 N", FaultKind.STATE, Reason.EXTERNAL_FORCE, _set("external_force_n", 60.0)),
    Fault("states arrive 1 s late", FaultKind.NETWORK, Reason.STALE_STATE, _set("state_age_s", 1.0)),
    Fault(
        "states carry stamps of the future", FaultKind.NETWORK, Reason.STALE_STATE, _set("state_age_s", -1.0)
    ),
    Fault("clock steps back", FaultKind.NETWORK, Reason.CLOCK_BACKWARDS, lambda b: b.step_clock(-0.5)),
    Fault("deadman released", FaultKind.OPERATOR, Reason.DEADMAN_RELEASED, _set("deadman_held", False)),
    Fault("input device unplugged", FaultKind.OPERATOR, Reason.STALE_DEADMAN, _set("deadman", False)),
    Fault(
        "emergency stop",
        FaultKind.OPERATOR,
        Reason.EMERGENCY_STOP,
        lambda b: b.supervisor.emergency_stop("test"),
        lambda b: b.supervisor.reset_emergency_stop(),
        "reset of the emergency stop, then a new chunk",
    ),
    Fault(
        "operator's hold",
        FaultKind.OPERATOR,
        "lunch",
        lambda b: b.supervisor.operator_hold("lunch"),
        lambda b: b.supervisor.release(),
        "release, then a new chunk",
    ),
)
"""Faults of threads, disks and the network need real ones: `loop_faults`, `network_faults`."""
