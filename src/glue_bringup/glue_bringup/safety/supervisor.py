"""The safety supervisor: the only source of robot targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits
from glue_bringup.safety.chunk_admission import refusal
from glue_bringup.safety.chunk_executor import ChunkExecutor, SeamJump, TargetSample
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.joint_guard import JointGuard
from glue_bringup.safety.joint_path import JointMotion
from glue_bringup.safety.kinematic_model import KinematicModel
from glue_bringup.safety.motion_limiter import MAX_STEP_S, MotionLimiter, MotionState
from glue_bringup.safety.reasons import Reason, line_for
from glue_bringup.safety.state_machine import (
    Latches,
    OperatorAction,
    SupervisorMode,
    after,
    hold_reason,
    next_mode,
)
from glue_bringup.safety.watchdogs import Watchdogs
from glue_perception.errors import ConfigError, NotReadyError
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, KeyPatches, RobotState


@dataclass(frozen=True)
class SafetyEvent:
    """A change of mode or reason.

    Attributes:
        stamp_ns: Time of the tick.
        mode: The mode from now on.
        reason: A `Reason`, or the operator's words.
        line: The same for the operator, in one sentence.
    """

    stamp_ns: int
    mode: SupervisorMode
    reason: str
    line: str = ""


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
        line: The same for the operator, in one sentence.
    """

    T_base_ee: Float[np.ndarray, "4 4"]
    gripper_width_m: float
    mode: SupervisorMode
    reason: str
    line: str = ""


class SafetySupervisor:
    """Turns chunks into commands that keep every limit, and brings the arm to rest when something is wrong.

    Life cycle: built, `reset` at the start of every episode, then `step` at 100 Hz or more, with `submit`, `note_*`,
    `operator_hold` and `release` between. A pure state machine: no thread, no clock of its own; one thread calls it.
    Policy and teleoperation both submit chunks.

    Whatever ends motion (a stale or implausible input, an expired chunk, the operator) ends it as a ramp within the
    motion limits; when the cause is gone the arm goes on from the held pose. Only an operator's hold needs `release`,
    and an emergency stop `reset_emergency_stop`. States, reasons and limits: docs/safety.md.

    Args:
        config: Settings.
        limits: The robot's own table.
        kinematics: Of the same robot, for limits in the joints, singularities, self-collision and the table; None
            leaves these to the robot.

    Raises:
        ConfigError: the configured motion is beyond the robot's table, or the kinematics are another robot's.
    """

    def __init__(
        self, config: SafetyConfig, limits: RobotLimits, kinematics: KinematicModel | None = None
    ) -> None:
        config.motion.check_against(limits)
        if kinematics is not None and kinematics.limits is not limits:
            raise ConfigError(
                f"the limits are a {limits.model.value}'s and the kinematics a {kinematics.limits.model.value}'s; "
                "build both from one robot_model"
            )
        self._guard = None if kinematics is None else JointGuard(config.joints, kinematics)
        self._config = config
        self._executor = ChunkExecutor(config.executor)
        self._limiter = MotionLimiter(config.motion, config.workspace)
        self._watchdogs = Watchdogs(config.watchdogs, limits, follows=not config.dry_run)
        self._low_m, self._high_m = np.array(config.workspace.min_m), np.array(config.workspace.max_m)
        self._last_ns: int | None = None
        self._tick_ns = 0
        self._clock_was_behind = False
        self._gripper_width_m = 0.0
        self._latches = Latches()
        self._mode, self._reason = SupervisorMode.HOLD, str(Reason.WAITING)
        self._line = line_for(self._reason, config)
        self._events: list[SafetyEvent] = []

    def reset(self, now_ns: int, state: RobotState) -> None:
        """Forget the episode before and hold the current pose and opening. What the operator has stopped stays so.

        Raises:
            HardwareError: the state's joints and tool pose do not belong to this robot.
        """
        if self._guard is not None:
            self._guard.reset(state)
        self._executor.clear()
        self._limiter.reset(state.T_base_ee)
        self._watchdogs.reset(now_ns)
        self._gripper_width_m = self._clamped_width(state.gripper_width_m)
        self._last_ns, self._tick_ns, self._clock_was_behind = now_ns, 0, False
        self._enter(now_ns, SupervisorMode.HOLD, hold_reason(self._latches, None, None, Reason.WAITING))

    def submit(self, chunk: ActionChunk, now_ns: int) -> SubmitResult:
        """Put a chunk in force, or refuse it. Its shape and finiteness are checked by its type.

        A chunk is refused if it is older than the one in force, older than `max_chunk_age_s`, over already, from the
        future, or not of this world (`chunk_admission`).
        """
        reason = refusal(chunk, self._executor, self._config.watchdogs, now_ns)
        if reason:
            return SubmitResult(False, reason)
        return SubmitResult(True, jump=self._executor.set_chunk(chunk, now_ns))

    def note_frame(self, stamp_ns: int) -> None:
        """Take note that perception has seen the frame of this stamp."""
        self._watchdogs.note_frame(stamp_ns)

    def note_key_patches(self, key_patches: KeyPatches) -> None:
        """Take note of the newest key-patches."""
        self._watchdogs.note_key_patches(key_patches)

    def note_deadman(self, stamp_ns: int, held: bool) -> None:
        """Take note of the operator's deadman switch; asked for where `watchdogs.max_deadman_age_s` is set."""
        self._watchdogs.note_deadman(stamp_ns, held)

    def operator_hold(self, reason: str) -> None:
        """Bring the arm to rest from the next tick on, until `release`."""
        self._latches = after(self._latches, OperatorAction.HOLD, reason)

    def release(self) -> None:
        """End an operator's hold. The chunk of before is forgotten: motion needs a new one."""
        self._latches = after(self._latches, OperatorAction.RELEASE)
        self._executor.clear()

    def emergency_stop(self, reason: str) -> None:
        """Bring the arm to rest from the next tick on, whatever else is the matter, until `reset_emergency_stop`.

        A stop within the motion limits: the robot's own stop button, which takes the power, stays the last resort.
        """
        self._latches = after(self._latches, OperatorAction.EMERGENCY_STOP, reason)

    def reset_emergency_stop(self) -> None:
        """End an emergency stop; `release` does not. The chunk of before is forgotten: motion needs a new one."""
        self._latches = after(self._latches, OperatorAction.RESET_EMERGENCY_STOP)
        self._executor.clear()

    @property
    def dry_run(self) -> bool:
        """Whether commands are computed only: the arm is to stay where it is."""
        return self._config.dry_run

    @property
    def line(self) -> str:
        """For the operator, in one sentence: what the arm does, or why it does not move."""
        return self._line

    @property
    def joint_path(self) -> JointMotion | None:
        """The joints beneath the commanded pose; None without kinematics."""
        return None if self._guard is None else self._guard.now

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
        if watched is None and self._guard is not None:
            watched = self._guard.measured_fault(state)
        sample = self._executor.sample(now_ns)
        chunk_fault = self._chunk_fault(now_ns, sample)
        reason = hold_reason(self._latches, fault, watched, chunk_fault)
        bounded: Reason | None = None
        if sample is None or reason is not None:
            self._brake(dt_s)
        else:
            bounded = self._follow(now_ns, sample, dt_s, state)
        mode = next_mode(reason, self._limiter.at_rest)
        self._enter(now_ns, mode, reason or bounded or Reason.FOLLOWING)
        return Command(self._limiter.pose, self._gripper_width_m, self._mode, self._reason, self._line)

    def _advance_clock(self, now_ns: int) -> tuple[Reason | None, float]:
        """Return the fault of the clock, if any, and the time step."""
        last_ns = self._last_ns if self._last_ns is not None else now_ns
        if now_ns < last_ns:
            self._clock_was_behind = True
            return Reason.CLOCK_BACKWARDS, self._tick_ns / NS_PER_S
        elapsed_ns = now_ns - last_ns
        if self._clock_was_behind:
            # What was moved on while the clock stood behind is not moved on again: that would be a leap.
            elapsed_ns = min(elapsed_ns, self._tick_ns)
        self._clock_was_behind = False
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

    def _brake(self, dt_s: float) -> None:
        braked = self._limiter.plan_brake(dt_s)
        if self._guard is not None:
            self._guard.move(braked, min(dt_s, MAX_STEP_S))
        self._limiter.take(braked)

    def _follow(self, now_ns: int, sample: TargetSample, dt_s: float, state: RobotState) -> Reason | None:
        """Move towards the sample, clamped to the box, and return an intervention's name."""
        lookahead_s = self._config.executor.lookahead_s
        position_m = sample.T_base_ee[:3, 3]
        clamped_m = np.clip(position_m, self._low_m, self._high_m)
        ahead_m = np.clip(position_m + sample.linear_velocity_m_s * lookahead_s, self._low_m, self._high_m)
        target = sample.T_base_ee.copy()
        target[:3, 3] = clamped_m
        self._gripper_width_m = self._clamped_width(sample.gripper_width_m)
        few_tracks = self._watchdogs.few_tracks(now_ns)
        wanted = self._limiter.plan_follow(
            target,
            (ahead_m - clamped_m) / lookahead_s,
            sample.angular_velocity_rad_s,
            dt_s,
            self._config.watchdogs.few_tracks_speed_share if few_tracks else 1.0,
        )
        refused = self._refused(wanted, min(dt_s, MAX_STEP_S), state)
        if refused is not None:
            self._brake(dt_s)
            return refused
        self._limiter.take(wanted)
        if np.any(clamped_m != position_m):
            return Reason.WORKSPACE
        return Reason.FEW_TRACKS if few_tracks else None

    def _refused(self, wanted: MotionState, dt_s: float, state: RobotState) -> Reason | None:
        """Go with a step in the joints, or return why it may not be taken."""
        guard = self._guard
        if guard is None or dt_s <= 0.0:
            return None
        if self._mode is SupervisorMode.HOLD:
            guard.anchor(state, self._limiter.state)
        elbow_rad = None if self.dry_run else state.joint_position_rad
        reason = guard.refuse(wanted, self._limiter.ramp(wanted), dt_s, elbow_rad)
        if reason is None:
            guard.move(wanted, dt_s)
        return reason

    def _clamped_width(self, width_m: float) -> float:
        return min(max(width_m, 0.0), self._config.gripper_max_width_m)

    def _enter(self, now_ns: int, mode: SupervisorMode, reason: str | None) -> None:
        changed = (mode, str(reason)) != (self._mode, self._reason)
        self._mode, self._reason = mode, str(reason)
        if changed:
            self._line = line_for(self._reason, self._config, self._latches.emergency or "")
            self._events.append(SafetyEvent(now_ns, mode, self._reason, self._line))
