"""The safety supervisor: the only source of robot targets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits
from glue_bringup.safety.chunk_executor import ChunkExecutor, SeamJump, TargetSample
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.motion_limiter import MotionLimiter
from glue_bringup.safety.watchdogs import Reason, Watchdogs
from glue_perception.errors import NotReadyError
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, KeyPatches, RobotState

DEFAULT_TICK_NS = 10_000_000


class SupervisorMode(Enum):
    """ACTIVE: follows the chunk. HOLD_RAMP: braking within the limits. HOLD: at rest."""

    ACTIVE = "active"
    HOLD_RAMP = "hold_ramp"
    HOLD = "hold"


@dataclass(frozen=True)
class SafetyEvent:
    """A change of mode or reason.

    Attributes:
        stamp_ns: Time of the tick.
        mode: The mode from now on.
        reason: A `Reason`, or the operator's words.
    """

    stamp_ns: int
    mode: SupervisorMode
    reason: str


@dataclass(frozen=True)
class SubmitResult:
    """Whether a chunk was taken.

    Attributes:
        accepted: True if the chunk is now in force.
        reason: Why not; empty if it is.
        jump: The step of the target from the chunk before; None without one.
    """

    accepted: bool
    reason: str = ""
    jump: SeamJump | None = None


@dataclass(frozen=True, eq=False)
class Command:
    """What arm and gripper are to do until the next tick.

    Attributes:
        T_base_ee: Target pose of the tool, base frame.
        gripper_width_m: Opening.
        mode: See `SupervisorMode`.
        reason: A `Reason`, or the operator's words in a hold that the operator asked for.
    """

    T_base_ee: Float[np.ndarray, "4 4"]
    gripper_width_m: float
    mode: SupervisorMode
    reason: str


class SafetySupervisor:
    """Turns chunks into commands that keep every limit, and brings the arm to rest when something is wrong.

    Life cycle: built, `reset` at the start of every episode, then `step` at 100 Hz or more, with `submit`, `note_*`,
    `operator_hold` and `release` between. A pure state machine: no thread, no clock of its own; one thread calls it.
    Policy and teleoperation both submit chunks.

    Whatever ends motion (a stale or implausible input, an expired chunk, the operator) ends it as a ramp within the
    motion limits; when the cause is gone the arm goes on from the held pose. Only an operator's hold needs `release`.

    Args:
        config: Settings.
        limits: The robot's own table.

    Raises:
        ConfigError: the configured motion is beyond the robot's table.
    """

    def __init__(self, config: SafetyConfig, limits: RobotLimits) -> None:
        config.motion.check_against(limits)
        self._config = config
        self._executor = ChunkExecutor(config.executor)
        self._limiter = MotionLimiter(config.motion, config.workspace)
        self._watchdogs = Watchdogs(config.watchdogs, limits)
        self._low_m, self._high_m = np.array(config.workspace.min_m), np.array(config.workspace.max_m)
        self._last_ns: int | None = None
        self._tick_ns = DEFAULT_TICK_NS
        self._gripper_width_m = 0.0
        self._operator_reason: str | None = None
        self._mode, self._reason = SupervisorMode.HOLD, str(Reason.WAITING)
        self._events: list[SafetyEvent] = []

    def reset(self, now_ns: int, state: RobotState) -> None:
        """Forget the episode before and hold the current pose and opening. An operator's hold stays."""
        self._executor.clear()
        self._limiter.reset(state.T_base_ee)
        self._watchdogs.reset(now_ns)
        self._gripper_width_m = self._clamped_width(state.gripper_width_m)
        self._last_ns = now_ns
        self._enter(now_ns, SupervisorMode.HOLD, self._operator_reason or Reason.WAITING)

    def submit(self, chunk: ActionChunk, now_ns: int) -> SubmitResult:
        """Put a chunk in force, or refuse it. Its shape and finiteness are checked by its type.

        A chunk is refused if it is older than the one in force, older than `max_chunk_age_s`, over already, or from
        the future.
        """
        watchdogs = self._config.watchdogs
        age_s = (now_ns - chunk.stamp_ns) / NS_PER_S
        current = self._executor.chunk
        if age_s < -watchdogs.stamp_tolerance_s:
            return SubmitResult(False, f"its stamp lies {-age_s:.3f} s in the future; check the clocks")
        if age_s > watchdogs.max_chunk_age_s:
            return SubmitResult(
                False, f"its observation is {age_s:.3f} s old; {watchdogs.max_chunk_age_s} s at most"
            )
        if self._executor.is_expired(chunk, now_ns):
            return SubmitResult(False, "the time of its last action has passed; the policy is too slow")
        if current is not None and chunk.stamp_ns < current.stamp_ns:
            return SubmitResult(False, "a chunk of a newer observation is in force")
        return SubmitResult(True, jump=self._executor.set_chunk(chunk, now_ns))

    def note_frame(self, stamp_ns: int) -> None:
        """Take note that perception has seen the frame of this stamp."""
        self._watchdogs.note_frame(stamp_ns)

    def note_key_patches(self, key_patches: KeyPatches) -> None:
        """Take note of the newest key-patches."""
        self._watchdogs.note_key_patches(key_patches)

    def operator_hold(self, reason: str) -> None:
        """Bring the arm to rest from the next tick on, until `release`."""
        self._operator_reason = reason or "operator"

    def release(self) -> None:
        """End an operator's hold. The chunk of before is forgotten: motion needs a new one."""
        self._operator_reason = None
        self._executor.clear()

    def drain_events(self) -> list[SafetyEvent]:
        """Return the changes of mode or reason since the last call."""
        events, self._events = self._events, []
        return events

    def step(self, now_ns: int, state: RobotState) -> Command:
        """Return the command of this instant.

        Args:
            now_ns: Time. Should it run backwards, it is not followed: the arm is brought to rest until time has
                passed the newest instant seen.
            state: Newest robot state.

        Raises:
            NotReadyError: `reset` was never called.
        """
        if self._last_ns is None:
            raise NotReadyError("the safety supervisor does not know the arm's pose yet; call reset first")
        fault, dt_s = self._advance_clock(now_ns)
        watched = self._watchdogs.fault(now_ns, state, self._limiter.pose[:3, 3])
        reason = self._operator_reason or fault or watched
        sample = None
        if reason is None:
            sample = self._executor.sample(now_ns)
            reason = self._chunk_fault(now_ns, sample)
        if sample is None or reason is not None:
            T_base_ee = self._limiter.brake(dt_s)
            at_rest = self._limiter.at_rest
            mode = SupervisorMode.HOLD if at_rest else SupervisorMode.HOLD_RAMP
        else:
            T_base_ee, reason = self._follow(now_ns, sample, dt_s)
            mode = SupervisorMode.ACTIVE
        self._enter(now_ns, mode, reason or Reason.FOLLOWING)
        return Command(T_base_ee, self._gripper_width_m, self._mode, self._reason)

    def _advance_clock(self, now_ns: int) -> tuple[Reason | None, float]:
        """Return the fault of the clock, if any, and the time step."""
        last_ns = self._last_ns if self._last_ns is not None else now_ns
        if now_ns < last_ns:
            return Reason.CLOCK_BACKWARDS, self._tick_ns / NS_PER_S
        elapsed_ns = now_ns - last_ns
        self._last_ns = now_ns
        if elapsed_ns:
            self._tick_ns = elapsed_ns
        return None, elapsed_ns / NS_PER_S

    def _chunk_fault(self, now_ns: int, sample: TargetSample | None) -> Reason | None:
        chunk = self._executor.chunk
        if chunk is None:
            return Reason.WAITING
        if sample is None:
            return Reason.CHUNK_EXPIRED
        if now_ns - chunk.stamp_ns > self._config.watchdogs.max_chunk_age_s * NS_PER_S:
            return Reason.STALE_CHUNK
        return None

    def _follow(
        self, now_ns: int, sample: TargetSample, dt_s: float
    ) -> tuple[Float[np.ndarray, "4 4"], Reason | None]:
        """Move towards the sample, clamped to the box, and return the commanded pose and an intervention's name."""
        lookahead_s = self._config.executor.lookahead_s
        position_m = sample.T_base_ee[:3, 3]
        clamped_m = np.clip(position_m, self._low_m, self._high_m)
        ahead_m = np.clip(position_m + sample.linear_velocity_m_s * lookahead_s, self._low_m, self._high_m)
        target = sample.T_base_ee.copy()
        target[:3, 3] = clamped_m
        self._gripper_width_m = self._clamped_width(sample.gripper_width_m)
        T_base_ee = self._limiter.follow(
            target, (ahead_m - clamped_m) / lookahead_s, sample.angular_velocity_rad_s, dt_s
        )
        if np.any(clamped_m != position_m):
            return T_base_ee, Reason.WORKSPACE
        return T_base_ee, Reason.FEW_TRACKS if self._watchdogs.few_tracks(now_ns) else None

    def _clamped_width(self, width_m: float) -> float:
        return min(max(width_m, 0.0), self._config.gripper_max_width_m)

    def _enter(self, now_ns: int, mode: SupervisorMode, reason: str) -> None:
        if (mode, str(reason)) != (self._mode, self._reason):
            self._events.append(SafetyEvent(now_ns, mode, str(reason)))
        self._mode, self._reason = mode, str(reason)
