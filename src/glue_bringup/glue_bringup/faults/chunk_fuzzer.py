"""Random, adversarial and malformed chunks through executor, supervisor and limiter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD
from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.faults.motion_audit import largest_shares, steps, violations
from glue_bringup.safety.config import (
    ExecutorConfig,
    MotionLimits,
    SafetyConfig,
    WatchdogConfig,
    WorkspaceBox,
)
from glue_bringup.safety.ramp import rotations
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_perception.errors import InvalidValueError
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.types import ActionChunk, RobotState

HAND_M = 0.1034
EPISODE_CHUNKS = 250
WIDE_BOX = WorkspaceBox(min_m=(-0.9, -0.9, -0.3), max_m=(0.9, 0.9, 1.2))
"""Beyond what the arm can reach, so that the joints' margins have to do the work."""

MOTIONS = {
    "standard": MotionLimits(),
    "fast": MotionLimits(1.2, 5.0, 120.0, 2.4, 10.0, 250.0),
}


@dataclass
class FuzzReport:
    """What came of a fuzz.

    Attributes:
        chunks: How many were made.
        outcomes: `malformed`: not even a chunk; `refused`; `accepted`.
        reasons: Ticks by reason.
        largest: How near any motion came to each bound, 1 being the bound; all joints together.
        broken: Limits that were exceeded, with the seed of the episode.
    """

    chunks: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    largest: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def note(self, shares: Mapping[str, float]) -> None:
        """Take in the shares of one more motion."""
        for name, share in shares.items():
            kind = f"{name.partition(' of ')[0]} of a joint" if "joint" in name else name
            self.largest[kind] = max(share, self.largest.get(kind, 0.0))

    def add(self, other: FuzzReport) -> None:
        """Take in another part of the same fuzz."""
        self.chunks += other.chunks
        self.outcomes += other.outcomes
        self.reasons += other.reasons
        self.note(other.largest)
        self.broken += other.broken


def fuzz(chunks: int, seed: int, with_joints: bool = True) -> FuzzReport:
    """Send chunks, one per tick, in episodes of `EPISODE_CHUNKS`, and audit every episode's motion.

    Every episode has a robot, motion bounds, a tick (in three of ten of uneven length), a workspace and a way of
    blending of its own, drawn from the seed. The arm is perfect: its state is what was commanded in the tick before,
    except for faults on purpose.

    Args:
        chunks: How many at least.
        seed: The same seed gives the same fuzz.
        with_joints: Whether the joint guard is on; it takes most of the time.
    """
    report = FuzzReport()
    models = {model: ArmKinematics(limits_for(model)) for model in RobotModel}
    episode = 0
    while report.chunks < chunks:
        _episode(np.random.default_rng([seed, episode]), models, with_joints, report, f"{seed}/{episode}")
        episode += 1
    return report


def _episode(
    rng: np.random.Generator,
    models: dict[RobotModel, ArmKinematics],
    with_joints: bool,
    report: FuzzReport,
    name: str,
) -> None:
    robot = RobotModel.FR3 if rng.random() < 0.5 else RobotModel.PANDA
    limits, model = limits_for(robot), models[robot]
    motion = str(rng.choice(list(MOTIONS)))
    config = SafetyConfig(
        workspace=WIDE_BOX if rng.random() < 0.7 else WorkspaceBox(),
        motion=MOTIONS[motion],
        executor=ExecutorConfig(blend_s=float(rng.choice([0.0, 0.0, 0.2]))),
        watchdogs=WatchdogConfig(max_frame_age_s=None, max_key_patches_age_s=None),
    )
    supervisor = SafetySupervisor(config, limits, model if with_joints else None)
    tick_ns = int(rng.choice([5_000_000, 10_000_000, 10_000_000, 20_000_000]))
    even = rng.random() < 0.7
    q = np.array(PANDA_HOME_RAD) + rng.uniform(-0.2, 0.2, 7)
    tool = make_transform(np.eye(3), np.array([0.0, 0.0, HAND_M]))
    T = model.flange_pose(q) @ tool
    now_ns = 1_000_000_000
    supervisor.reset(now_ns, RobotState(now_ns, q, np.zeros(7), T, 0.04))
    stamps_ns = [now_ns]
    poses, joints = [T, T, T], [q, q, q] if with_joints else []
    maker = ChunkMaker(rng)
    for _ in range(EPISODE_CHUNKS):
        now_ns += tick_ns if even else int(tick_ns * rng.uniform(0.3, 1.9))
        stamps_ns.append(now_ns)
        report.chunks += 1
        try:
            chunk = maker.make(now_ns, poses[-1])
        except InvalidValueError:
            report.outcomes["malformed"] += 1
        else:
            accepted = supervisor.submit(chunk, now_ns).accepted
            report.outcomes["accepted" if accepted else "refused"] += 1
        _meddle(rng, supervisor)
        path = supervisor.joint_path
        now_q = q if path is None else path.position
        late_ns = 200_000_000 if rng.random() < 0.02 else 0
        state = RobotState(now_ns - late_ns, now_q, np.zeros(7), poses[-1], 0.04)
        backwards_ns = 30_000_000 if even and rng.random() < 0.005 else 0
        command = supervisor.step(now_ns - backwards_ns, state)
        report.reasons[command.reason] += 1
        poses.append(command.T_base_ee)
        path = supervisor.joint_path
        if path is not None:
            joints.append(path.position)
    if even:
        report.note(largest_shares(poses, joints, tick_ns / 1e9, limits, config))
        found = violations(poses, joints, tick_ns / 1e9, limits, config)
    else:
        found = steps(poses[2:], stamps_ns, config, joints[2:], limits)
    for broken in found:
        report.broken.append(f"episode {name} ({robot.value}, {motion}, tick {tick_ns / 1e6:g} ms): {broken}")
    if with_joints:
        lost_m = max(
            float(np.abs(model.flange_pose(a) @ tool - b).max())
            for a, b in zip(joints[::10], poses[::10], strict=True)
        )
        if lost_m > 1e-4:
            report.broken.append(
                f"episode {name}: the joint path is {lost_m:.2g} m away from the commanded pose"
            )
        close_m = min(model.clearance_m(a) for a in joints[::10])
        if close_m < 0.0:
            report.broken.append(f"episode {name}: the links touch ({close_m:.3f} m)")


def _meddle(rng: np.random.Generator, supervisor: SafetySupervisor) -> None:
    """Do what operators do, now and then."""
    dice = rng.random()
    if dice < 0.004:
        supervisor.operator_hold("fuzz")
    elif dice < 0.02:
        supervisor.release()
    elif dice < 0.022:
        supervisor.emergency_stop("fuzz")
    elif dice < 0.04:
        supervisor.reset_emergency_stop()


class ChunkMaker:
    """Makes chunks that are plausible, adversarial or malformed.

    Args:
        rng: The only source of chance.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._goal = np.zeros(3)
        self._turn = np.zeros(3)
        self._kind = 0

    def make(self, now_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> ActionChunk:
        """Return the next chunk, seen from the commanded pose.

        Raises:
            InvalidValueError: it was malformed and the type refused it, as it must.
        """
        rng = self._rng
        if rng.random() < 0.012:
            self._kind = int(rng.integers(5))
            self._goal = rng.uniform((-0.9, -0.9, -0.3), (0.9, 0.9, 1.2))
            self._turn = rng.normal(size=3) * rng.choice([0.1, 0.6, 2.0])
        n = int(rng.integers(1, 17))
        position_m, turns = self._path(n, T_base_ee)
        values: dict[str, Any] = {
            "stamp_ns": now_ns - int(rng.integers(0, 150_000_000) if rng.random() < 0.1 else 0),
            "dt_s": float(rng.choice([0.02, 0.1, 0.1, 0.3])),
            "position_m": position_m,
            "rotation_6d": rotation_6d_from_matrix(rotations(turns) @ T_base_ee[:3, :3]),
            "gripper_width_m": rng.uniform(-0.05, 0.2, n),
        }
        if rng.random() < 0.15:
            MALFORMATIONS[int(rng.integers(len(MALFORMATIONS)))](values, rng)
        return ActionChunk(**values)

    def _path(
        self, n: int, T_base_ee: Float[np.ndarray, "4 4"]
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """Return positions [m] and turns from the present orientation [rad]."""
        rng, here = self._rng, T_base_ee[:3, 3]
        ways = np.linspace(0.0, 1.0, n + 1)[1:, None]
        if self._kind == 0:  # smoothly to a goal, mostly out of reach
            return here + ways * (self._goal - here), ways * self._turn
        if self._kind == 1:  # noise around where it is
            return here + rng.normal(size=(n, 3)) * 0.03, rng.normal(size=(n, 3)) * 0.1
        if self._kind == 2:  # from side to side
            side = 1.0 if rng.random() < 0.5 else -1.0
            return here + side * np.sign(self._goal) * 0.5 + 0.0 * ways, side * self._turn + 0.0 * ways
        if self._kind == 3:  # a leap to a goal at once
            return np.tile(self._goal, (n, 1)), np.tile(self._turn, (n, 1))
        return rng.uniform(-1.5, 1.5, (n, 3)), rng.normal(size=(n, 3)) * 2.0


Malformation = Callable[[dict[str, Any], np.random.Generator], None]


def _spoil(name: str, value: float) -> Malformation:
    def apply(values: dict[str, Any], rng: np.random.Generator) -> None:
        array = np.array(values[name], dtype=float)
        array.flat[int(rng.integers(array.size))] = value
        values[name] = array

    return apply


def _put(name: str, value: object) -> Malformation:
    def apply(values: dict[str, Any], rng: np.random.Generator) -> None:
        values[name] = value

    return apply


def _shift(offset_ns: int) -> Malformation:
    def apply(values: dict[str, Any], rng: np.random.Generator) -> None:
        values["stamp_ns"] = max(0, int(str(values["stamp_ns"])) + offset_ns)

    return apply


def _scale(name: str, factor: float) -> Malformation:
    def apply(values: dict[str, Any], rng: np.random.Generator) -> None:
        values[name] = np.array(values[name], dtype=float) * factor

    return apply


def _parallel(values: dict[str, Any], rng: np.random.Generator) -> None:
    columns = np.array(values["rotation_6d"], dtype=float)
    columns[:, 3:] = columns[:, :3] * rng.choice([1.0, -1.0, 1e6]) + rng.choice([0.0, 1e-12, 1e-3])
    values["rotation_6d"] = columns


MALFORMATIONS: tuple[Malformation, ...] = (
    *(
        _spoil(name, value)
        for name in ("position_m", "rotation_6d", "gripper_width_m")
        for value in (np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300)
    ),
    *(
        _scale(name, factor)
        for name in ("position_m", "rotation_6d")
        for factor in (0.0, 1000.0, 1e200, -1.0)
    ),
    *(_put("dt_s", value) for value in (0.0, -0.1, np.nan, np.inf, 1e-12, 1e-4, 1.0)),
    *(_shift(seconds * 1_000_000_000) for seconds in (-3, -1, 1, 1000, 10**9)),
    _put("position_m", np.zeros((0, 3))),
    _put("position_m", np.zeros((3, 2))),
    _put("rotation_6d", np.zeros((4, 6))),
    _put("gripper_width_m", np.zeros(0)),
    _put("frozen", -1),
    _put("frozen", 10**6),
    _put("stamp_ns", -5),
    _put("position_m", np.array([["x", "y", "z"]])),
    _parallel,
)
