"""Why the supervisor does what it does, and the one line that tells the operator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from glue_bringup.safety.config import SafetyConfig


class Reason(StrEnum):
    """Why the supervisor does what it does. A hold by an operator has the operator's own words instead."""

    FOLLOWING = "following"
    WORKSPACE = "workspace"
    JOINT_MARGIN = "joint_margin"
    JOINT_SPEED = "joint_speed"
    SINGULARITY = "singularity"
    SELF_COLLISION = "self_collision"
    TABLE = "table"
    FEW_TRACKS = "few_tracks"
    EMERGENCY_STOP = "emergency_stop"
    CLOCK_BACKWARDS = "clock_backwards"
    STALE_STATE = "stale_state"
    STATE_JUMP = "state_jump"
    JOINT_VELOCITY = "joint_velocity"
    FOLLOWING_ERROR = "following_error"
    JOINT_POSITION = "joint_position"
    EXTERNAL_FORCE = "external_force"
    DEADMAN_RELEASED = "deadman_released"
    STALE_DEADMAN = "stale_deadman"
    STALE_FRAME = "stale_frame"
    STALE_KEY_PATCHES = "stale_key_patches"
    TRACKS_LOST = "tracks_lost"
    WAITING = "waiting"
    CHUNK_EXPIRED = "chunk_expired"
    STALE_CHUNK = "stale_chunk"


class Effect(Enum):
    """What a reason does to the motion. FREE: nothing. BOUNDED: motion is shortened or slowed. HOLD: it ends."""

    FREE = "free"
    BOUNDED = "bounded"
    HOLD = "hold"


@dataclass(frozen=True)
class ReasonFact:
    """What is known of one reason.

    Attributes:
        effect: See `Effect`.
        line: For the operator: what is wrong and what helps. `{limit:g}` stands for the limit's value.
        limit: Where the limit is set, below `safety`, e.g. `watchdogs.max_frame_age_s`; empty if there is none.
        ends: What ends it.
    """

    effect: Effect
    line: str
    limit: str = ""
    ends: str = "when it is over"


FACTS: dict[Reason, ReasonFact] = {
    Reason.FOLLOWING: ReasonFact(Effect.FREE, "moving: following the policy", ends="-"),
    Reason.WORKSPACE: ReasonFact(
        Effect.BOUNDED, "the target lies outside the workspace box: the arm stays at its wall", "workspace"
    ),
    Reason.JOINT_MARGIN: ReasonFact(
        Effect.BOUNDED,
        "a joint would come within {limit:g} rad of its end: move the task, or start from another pose",
        "joints.position_margin_rad",
    ),
    Reason.JOINT_SPEED: ReasonFact(
        Effect.BOUNDED,
        "the target asks for more than {limit:g} of a joint's top speed or its acceleration: the arm goes slower",
        "joints.velocity_share",
    ),
    Reason.SINGULARITY: ReasonFact(
        Effect.BOUNDED,
        "the arm would be stretched out or folded (singular value below {limit:g}): move the task nearer",
        "joints.min_singular_value",
    ),
    Reason.SELF_COLLISION: ReasonFact(
        Effect.BOUNDED,
        "the arm would come within {limit:g} m of itself: move the task away from the base",
        "joints.self_collision_margin_m",
    ),
    Reason.TABLE: ReasonFact(
        Effect.BOUNDED,
        "forearm, wrist or palm would go below the table at {limit:g} m: turn the tool upright",
        "joints.table_height_m",
    ),
    Reason.FEW_TRACKS: ReasonFact(
        Effect.BOUNDED,
        "less than {limit:g} of the key-patches are tracked: the arm goes slower; clear the camera's view",
        "watchdogs.warn_tracked_share",
    ),
    Reason.EMERGENCY_STOP: ReasonFact(
        Effect.HOLD,
        "emergency stop: remove the cause, then reset it",
        ends="reset by the operator, then a new chunk",
    ),
    Reason.CLOCK_BACKWARDS: ReasonFact(
        Effect.HOLD, "the computer's clock went backwards: synchronise it before, not while, the robot moves"
    ),
    Reason.STALE_STATE: ReasonFact(
        Effect.HOLD,
        "no robot state for {limit:g} s: check the robot's network cable and Desk",
        "watchdogs.max_state_age_s",
    ),
    Reason.STATE_JUMP: ReasonFact(
        Effect.HOLD,
        "the reported tool jumped by more than {limit:g} m: check the connection and the end effector setting",
        "watchdogs.max_state_jump_m",
        "with the next plausible state",
    ),
    Reason.JOINT_VELOCITY: ReasonFact(
        Effect.HOLD, "a joint is faster than the robot's table allows: is somebody pushing the arm?"
    ),
    Reason.FOLLOWING_ERROR: ReasonFact(
        Effect.HOLD,
        "the arm is {limit:g} m from where it should be: it is blocked; free it",
        "watchdogs.max_following_error_m",
    ),
    Reason.JOINT_POSITION: ReasonFact(
        Effect.HOLD,
        "a joint is within {limit:g} rad of its end: guide the arm back by hand",
        "joints.position_stop_rad",
    ),
    Reason.EXTERNAL_FORCE: ReasonFact(
        Effect.HOLD,
        "the tool is pushed with more than {limit:g} N (or its torque limit): remove what it touches",
        "watchdogs.max_external_force_n",
    ),
    Reason.DEADMAN_RELEASED: ReasonFact(Effect.HOLD, "the deadman switch is not held: hold it to move"),
    Reason.STALE_DEADMAN: ReasonFact(
        Effect.HOLD,
        "nothing heard of the deadman switch for {limit:g} s: check the input device",
        "watchdogs.max_deadman_age_s",
    ),
    Reason.STALE_FRAME: ReasonFact(
        Effect.HOLD,
        "no camera frame for {limit:g} s: check the camera's cable and USB port",
        "watchdogs.max_frame_age_s",
    ),
    Reason.STALE_KEY_PATCHES: ReasonFact(
        Effect.HOLD,
        "perception has not answered for {limit:g} s: is the computer overloaded?",
        "watchdogs.max_key_patches_age_s",
    ),
    Reason.TRACKS_LOST: ReasonFact(
        Effect.HOLD,
        "less than {limit:g} of the key-patches are tracked: clear the camera's view of the objects",
        "watchdogs.hold_tracked_share",
    ),
    Reason.WAITING: ReasonFact(Effect.HOLD, "waiting for the policy's first chunk", ends="with a new chunk"),
    Reason.CHUNK_EXPIRED: ReasonFact(
        Effect.HOLD,
        "the policy's last chunk ended {limit:g} s ago: is the policy running?",
        "executor.linger_s",
        "with a new chunk",
    ),
    Reason.STALE_CHUNK: ReasonFact(
        Effect.HOLD,
        "the policy's last chunk is of an image older than {limit:g} s: is the policy running?",
        "watchdogs.max_chunk_age_s",
        "with a new chunk",
    ),
}


def limit_of(reason: Reason, config: SafetyConfig) -> float | None:
    """Return the limit behind a reason, or None if there is none that is one number."""
    value: object = config
    for name in FACTS[reason].limit.split(".") if FACTS[reason].limit else ["dry_run"]:
        value = getattr(value, name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def line_for(reason: str, config: SafetyConfig, words: str = "") -> str:
    """Return the line for the operator: why the arm does not move, or moves less.

    Args:
        reason: A `Reason`, or the operator's own words.
        config: For the limits' values.
        words: What the operator gave as the cause of an emergency stop.
    """
    if reason not in FACTS:
        return f"held by the operator: {reason}; release to go on"
    known = Reason(reason)
    limit = limit_of(known, config)
    line = FACTS[known].line if limit is None else FACTS[known].line.format(limit=limit)
    return f"{line} ({words})" if words else line
