"""Whether an episode is worth training on: checked message by message while it is recorded.

An audit looks at stamps and at a few numbers, never at pixels, so that it costs nothing where it is called.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from glue_bringup.recording.audit_signals import (
    frozen_joints,
    gripper_findings,
    has_motion,
    largest_step_m,
    nearest_gap_s,
)
from glue_perception.bags.reader import BagReader
from glue_perception.errors import ConfigError
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, RobotState
from glue_policy.data.demonstration import SPACING_TOLERANCE


class Severity(StrEnum):
    """REFUSE: not to be trained on. WARN: to be looked at."""

    REFUSE = "refuse"
    WARN = "warn"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with an episode.

    Attributes:
        check: Name of the check, e.g. `frame_gap`.
        severity: What follows from it.
        text: What was found and what was expected.
    """

    check: str
    severity: Severity
    text: str


@dataclass(frozen=True)
class AuditConfig:
    """When an episode is refused. The paper samples demonstrations at 10 Hz (V-A); all else here was chosen.

    Attributes:
        action_rate_hz: Rate of the demonstrated actions. Steps that `glue train` would refuse are refused here.
        frame_rate_hz: The camera's rate.
        rate_tolerance: Share by which the camera's mean rate may be lower before it is said.
        max_frame_gap_s: Between two frames; a fast hand moves 5 cm in 0.1 s.
        max_dropped_share: Share of frames that the camera or the recorder lost.
        max_skew_s: Between a frame and the robot state that is recorded with it. At 0.25 m/s, 20 ms are 5 mm.
        max_action_skew_s: Between an action and the nearest frame.
        frozen_s: A joint that repeats to the last bit for so long while the command moves is not measured any more.
        min_motion_m: Way of the command from which on a frozen joint is one.
        gripper_response_s: The hand has to have moved this long after it was told to.
        max_gripper_width_m: Beyond what any Franka Hand opens.
        min_duration_s: Shorter episodes are slips of the operator.
        max_step_m: Largest step between two actions that is not said.

    Raises:
        ConfigError: a value is not positive.
    """

    action_rate_hz: float = 10.0
    frame_rate_hz: float = 30.0
    rate_tolerance: float = 0.1
    max_frame_gap_s: float = 0.15
    max_dropped_share: float = 0.05
    max_skew_s: float = 0.02
    max_action_skew_s: float = 0.005
    frozen_s: float = 1.0
    min_motion_m: float = 0.01
    gripper_response_s: float = 2.0
    max_gripper_width_m: float = 0.09
    min_duration_s: float = 1.0
    max_step_m: float = 0.1

    @classmethod
    def at_rates(cls, action_rate_hz: float, frame_rate_hz: float) -> AuditConfig:
        """Return the limits for other rates: a gap of 4.5 frames is too long, at 30 Hz these are 0.15 s."""
        return cls(action_rate_hz, frame_rate_hz, max_frame_gap_s=max(0.15, 4.5 / frame_rate_hz))

    def __post_init__(self) -> None:
        for f in fields(self):
            if not getattr(self, f.name) > 0.0:
                raise ConfigError(f"audit.{f.name} must be positive, not {getattr(self, f.name)}")


class EpisodeAudit:
    """Collects what one episode's messages say of its quality. All methods may be called from any thread.

    Images and states from before the first action are not judged: perception and policy get ready then, the arm
    stands still, and nothing of it is trained on.

    Args:
        config: Limits.
    """

    def __init__(self, config: AuditConfig | None = None) -> None:
        self._config = config or AuditConfig()
        self._lock = threading.Lock()
        self._frames_ns: list[int] = []
        self._states_ns: list[int] = []
        self._joints_rad: list[Float[np.ndarray, "7"]] = []
        self._widths_m: list[float] = []
        self._skews_ns: dict[int, int] = {}
        self._actions_ns: list[int] = []
        self._actions_m: list[Float[np.ndarray, "3"]] = []
        self._commanded_widths_m: list[float] = []
        self._holds: Counter[str] = Counter()
        self._lost: dict[str, int] = {}

    def frame(self, stamp_ns: int) -> None:
        """Take note of a frame."""
        with self._lock:
            self._frames_ns.append(stamp_ns)

    def robot_state(self, state: RobotState, measured_ns: int | None = None) -> None:
        """Take note of a state; `measured_ns` is when it was measured where its stamp is that of a frame."""
        with self._lock:
            self._states_ns.append(state.stamp_ns)
            self._joints_rad.append(state.joint_position_rad)
            self._widths_m.append(state.gripper_width_m)
            if measured_ns is not None:
                self._skews_ns[state.stamp_ns] = measured_ns - state.stamp_ns

    def action(self, action: ActionChunk) -> None:
        """Take note of a demonstrated action."""
        with self._lock:
            self._actions_ns.append(action.stamp_ns)
            self._actions_m.append(action.position_m[0])
            self._commanded_widths_m.append(float(action.gripper_width_m[0]))

    def hold(self, reason: str) -> None:
        """Take note that the arm was brought to rest."""
        with self._lock:
            self._holds[reason] += 1

    def lost(self, counts: Mapping[str, int]) -> None:
        """Set what the recorder could not write, by kind of message."""
        with self._lock:
            self._lost = {kind: count for kind, count in counts.items() if count}

    def findings(self) -> list[Finding]:
        """Return what is wrong so far; empty if nothing is."""
        now = self._snapshot()
        found = [
            *now._length(),
            *now._losses(),
            *now._frame_gaps(),
            *now._action_spacing(),
            *now._skew(),
            *now._motion(),
        ]
        found += [_warn("hold", f"the arm was held {n} x: {reason}") for reason, n in now._holds.items()]
        return found

    def figures(self) -> dict[str, float]:
        """Return measured rates and worst cases, for the record."""
        now = self._snapshot()
        judged_ns = now._judged_ns()
        gaps_s = _gaps_s(judged_ns)
        values = {
            "duration_s": _span_s(now._frames_ns),
            "frame_hz": _rate_hz(judged_ns),
            "action_hz": _rate_hz(now._actions_ns),
            "max_frame_gap_s": float(gaps_s.max()) if len(gaps_s) else 0.0,
            "max_skew_s": now._max_skew_s(),
            "frames": float(len(now._frames_ns)),
            "actions": float(len(now._actions_ns)),
            "dropped_frames": float(now._dropped_frames()),
        }
        return {name: round(value, 4) for name, value in values.items()}

    def _snapshot(self) -> EpisodeAudit:
        """Return a copy to judge at leisure: control, which notes its holds here, never waits for a judgement."""
        copy = EpisodeAudit(self._config)
        with self._lock:
            for name, value in vars(self).items():
                if isinstance(value, (list, dict)):
                    setattr(copy, name, value.copy())
        return copy

    def _length(self) -> Iterable[Finding]:
        duration_s, least_s = _span_s(self._frames_ns), self._config.min_duration_s
        if not self._actions_ns:
            yield _refuse("no_actions", "nothing was demonstrated: it holds no action")
        if duration_s < least_s:
            yield _refuse("too_short", f"it lasts {duration_s:.2f} s; {least_s:g} s at least")

    def _losses(self) -> Iterable[Finding]:
        for kind, count in self._lost.items():
            yield _refuse(
                "lost_messages", f"the recorder lost {count} x {kind}: the disk is full or too slow"
            )
        dropped, frames = self._dropped_frames(), len(self._judged_ns())
        if dropped:
            share = dropped / (dropped + frames)
            text = f"{dropped} of {dropped + frames} frames are missing ({100 * share:.1f} %)"
            grade = _refuse if share > self._config.max_dropped_share else _warn
            yield grade("dropped_frames", text)

    def _frame_gaps(self) -> Iterable[Finding]:
        gaps_s, config = _gaps_s(self._judged_ns()), self._config
        if not len(gaps_s):
            return
        if gaps_s.min() <= 0:
            yield _refuse("stamps_backwards", "frames do not follow each other in time; check the clocks")
        if gaps_s.max() > config.max_frame_gap_s:
            at_s = float(np.argmax(gaps_s)) / config.frame_rate_hz
            yield _refuse(
                "frame_gap",
                f"no image for {gaps_s.max():.3f} s after about {at_s:.1f} s; {config.max_frame_gap_s:g} s at most",
            )
        rate_hz = _rate_hz(self._judged_ns())
        if rate_hz < (1.0 - config.rate_tolerance) * config.frame_rate_hz:
            yield _warn("frame_rate", f"{rate_hz:.1f} frames/s where {config.frame_rate_hz:g} are expected")

    def _action_spacing(self) -> Iterable[Finding]:
        gaps_s, dt_s = _gaps_s(self._actions_ns), 1.0 / self._config.action_rate_hz
        wrong = np.flatnonzero(np.abs(gaps_s - dt_s) > SPACING_TOLERANCE * dt_s)
        if len(wrong):
            yield _refuse(
                "action_gap",
                f"{len(wrong)} of {len(gaps_s)} steps are not {dt_s:g} s apart; the first takes "
                f"{gaps_s[wrong[0]]:.3f} s, after step {wrong[0]}",
            )

    def _skew(self) -> Iterable[Finding]:
        config = self._config
        worst_s = self._max_skew_s()
        if worst_s > config.max_skew_s:
            yield _refuse(
                "state_skew",
                f"image and robot state are up to {worst_s:.3f} s apart; {config.max_skew_s:g} s at most",
            )
        for check, others in (
            ("action_without_image", self._frames_ns),
            ("action_without_state", self._states_ns),
        ):
            gap_s = nearest_gap_s(self._actions_ns, others)
            if gap_s > config.max_action_skew_s:
                kind = check.rsplit("_", 1)[1]
                yield _refuse(check, f"an action is {gap_s:.3f} s away from the nearest {kind}")

    def _motion(self) -> Iterable[Finding]:
        config = self._config
        if not self._actions_m:
            return
        way_m = np.array(self._actions_m)
        widths_m = np.array(self._commanded_widths_m)
        if len(way_m) > 1 and not has_motion(way_m, widths_m):
            yield _refuse("no_motion", "all its actions are the same: nothing was demonstrated")
        step_m = largest_step_m(way_m)
        if step_m > config.max_step_m:
            yield _warn("action_step", f"the command steps by {step_m:.3f} m in one action")
        states_ns, joints = np.array(self._states_ns), np.array(self._joints_rad)
        for joint, for_s in frozen_joints(
            states_ns, joints, np.array(self._actions_ns), way_m, config.frozen_s, config.min_motion_m
        ):
            name = "all joints are" if joint is None else f"joint {joint + 1} is"
            yield _refuse(
                "frozen_joint", f"{name} the same to the last bit for {for_s:.1f} s while the arm moves"
            )
        for check, text in gripper_findings(
            states_ns,
            np.array(self._widths_m),
            np.array(self._actions_ns),
            widths_m,
            config.gripper_response_s,
            config.max_gripper_width_m,
        ):
            yield _refuse(check, text)

    def _judged_ns(self) -> list[int]:
        """Return the stamps of the frames from the first action on."""
        if not self._actions_ns:
            return []
        first_ns = self._actions_ns[0]
        index = next((k for k, stamp_ns in enumerate(self._frames_ns) if stamp_ns >= first_ns), 0)
        return self._frames_ns[index:]

    def _max_skew_s(self) -> float:
        first_ns = self._actions_ns[0] if self._actions_ns else np.inf
        judged = (abs(skew) for stamp_ns, skew in self._skews_ns.items() if stamp_ns >= first_ns)
        return max(judged, default=0) / NS_PER_S

    def _dropped_frames(self) -> int:
        """Return how many frames a camera of this rate would have given in the gaps."""
        missing = np.rint(_gaps_s(self._judged_ns()) * self._config.frame_rate_hz) - 1
        return int(np.maximum(missing, 0).sum())


def refusals(findings: Iterable[Finding]) -> list[str]:
    """Return the texts of the findings for which an episode is refused."""
    return [finding.text for finding in findings if finding.severity is Severity.REFUSE]


def audit_bag(bag: BagReader, config: AuditConfig) -> EpisodeAudit:
    """Return the audit of a recorded bag, for those that were recorded without one; skew cannot be told any more.

    Raises:
        BagError: the bag is damaged or lacks images or states.
    """
    audit = EpisodeAudit(config)
    for frame in bag.frames():
        audit.frame(frame.stamp_ns)
    for state in bag.robot_states():
        audit.robot_state(state)
    for action in bag.demonstrated_actions():
        audit.action(action)
    for event in bag.safety_events():
        if event.mode == "hold_ramp" and event.reason != "waiting":
            audit.hold(event.reason)
    return audit


def _refuse(check: str, text: str) -> Finding:
    return Finding(check, Severity.REFUSE, text)


def _warn(check: str, text: str) -> Finding:
    return Finding(check, Severity.WARN, text)


def _gaps_s(stamps_ns: list[int]) -> Float[np.ndarray, "n"]:
    gaps: np.ndarray = np.diff(np.array(stamps_ns, dtype=np.int64)) / NS_PER_S
    return gaps


def _span_s(stamps_ns: list[int]) -> float:
    return (stamps_ns[-1] - stamps_ns[0]) / NS_PER_S if stamps_ns else 0.0


def _rate_hz(stamps_ns: list[int]) -> float:
    span_s = _span_s(stamps_ns)
    return (len(stamps_ns) - 1) / span_s if span_s > 0 else 0.0
