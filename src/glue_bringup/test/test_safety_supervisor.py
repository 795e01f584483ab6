"""Each watchdog brings the arm to rest in time and without a step; nothing ever leaves the box."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from glue_bringup.arm.limits import FR3, PANDA
from glue_bringup.faults.motion_audit import violations
from glue_bringup.safety.config import MotionLimits, SafetyConfig, WatchdogConfig, WorkspaceBox
from glue_bringup.safety.supervisor import Command, SafetySupervisor, SubmitResult, SupervisorMode
from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import ConfigError, NotReadyError
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.types import ActionChunk, KeyPatches, RobotState

TICK_NS = 10_000_000
START_M = np.array([0.5, 0.0, 0.4])
DOWN = np.diag([1.0, -1.0, -1.0])
CONFIG = SafetyConfig()


def make_patches(stamp_ns: int, tracked: int = 10) -> KeyPatches:
    health = np.where(np.arange(10) < tracked, 0, 2)
    return KeyPatches(
        stamp_ns=stamp_ns,
        row_col=np.zeros((10, 2), dtype=np.int64),
        xy_px=np.zeros((10, 2)),
        visible=health == 0,
        health=health,
        query_index=np.zeros(10, dtype=np.int64),
    )


class Rig:
    """A perfect arm, a camera at 20 Hz and a policy at 10 Hz around a supervisor, in simulated time."""

    def __init__(
        self, config: SafetyConfig = CONFIG, path: Callable[[float], np.ndarray] | None = None
    ) -> None:
        self.supervisor = SafetySupervisor(config, PANDA)
        self.now_ns = 1_000_000_000
        self.path = path or (lambda t: START_M + np.array([0.0, 0.1 * np.sin(2.0 * t), 0.0]))
        self.frames = self.patches = self.chunks = self.states = True
        self.tracked = 10
        self.gripper_m = 0.04
        self.state = self.state_at(make_transform(DOWN, START_M))
        self.supervisor.reset(self.now_ns, self.state)
        self.commands: list[Command] = []
        self.stamps_ns: list[int] = []
        self.results: list[SubmitResult] = []
        self.count = 0

    def state_at(self, T_base_ee: np.ndarray) -> RobotState:
        return RobotState(self.now_ns, np.zeros(7), np.zeros(7), T_base_ee, 0.08)

    def chunk(self, stamp_ns: int) -> ActionChunk:
        times_s = stamp_ns / 1e9 - 1.0 + 0.1 * np.arange(8)
        return ActionChunk(
            stamp_ns=stamp_ns,
            dt_s=0.1,
            position_m=np.stack([self.path(t) for t in times_s]),
            rotation_6d=np.tile(rotation_6d_from_matrix(DOWN), (8, 1)),
            gripper_width_m=np.full(8, self.gripper_m),
        )

    def tick(self) -> Command:
        if self.count % 5 == 0:
            if self.frames:
                self.supervisor.note_frame(self.now_ns)
            if self.patches:
                self.supervisor.note_key_patches(make_patches(self.now_ns, self.tracked))
        if self.count % 10 == 0 and self.chunks:
            self.results.append(self.supervisor.submit(self.chunk(self.now_ns), self.now_ns))
        if self.states and self.commands:
            self.state = self.state_at(self.commands[-1].T_base_ee)
        command = self.supervisor.step(self.now_ns, self.state)
        self.commands.append(command)
        self.stamps_ns.append(self.now_ns)
        self.now_ns += TICK_NS
        self.count += 1
        return command

    def run(self, duration_s: float) -> Command:
        for _ in range(round(duration_s * 100)):
            self.tick()
        return self.commands[-1]

    def seconds_to_hold(self, limit_s: float = 5.0) -> float:
        """Run until the mode is no longer ACTIVE and return how long that took."""
        start_ns = self.now_ns
        while self.tick().mode is SupervisorMode.ACTIVE:
            assert self.now_ns - start_ns < limit_s * 1e9, "no hold began"
        return (self.stamps_ns[-1] - start_ns) / 1e9

    def check_no_step(self, motion: MotionLimits = CONFIG.motion) -> None:
        samples = np.array([c.T_base_ee[:3, 3] for c in self.commands])
        bounds = (
            motion.translation_velocity_m_s,
            motion.translation_acceleration_m_s2,
            motion.translation_jerk_m_s3,
        )
        for bound in bounds:
            samples = np.diff(samples, axis=0) / 0.01
            assert np.linalg.norm(samples, axis=1).max() <= bound * (1 + 1e-5)


def lose_frames(rig: Rig) -> None:
    rig.frames = False


def lose_patches(rig: Rig) -> None:
    rig.patches = False


def lose_states(rig: Rig) -> None:
    rig.states = False


def lose_chunks(rig: Rig) -> None:
    rig.chunks = False


def restore(rig: Rig) -> None:
    rig.frames = rig.patches = rig.states = rig.chunks = True


@pytest.mark.parametrize(
    ("fault", "reason", "limit_s"),
    [
        (lose_frames, "stale_frame", 0.5),
        (lose_patches, "stale_key_patches", 0.5),
        (lose_states, "stale_state", 0.1),
        (lose_chunks, "chunk_expired", 0.7 + 0.2),
    ],
)
def test_watchdog_holds_in_time_without_a_step_and_recovers(fault, reason, limit_s):
    rig = Rig()
    assert rig.run(0.7).mode is SupervisorMode.ACTIVE
    fault(rig)
    assert rig.seconds_to_hold() <= limit_s + 0.011
    assert rig.commands[-1].reason == reason
    held = rig.run(1.5)
    assert held.mode is SupervisorMode.HOLD
    assert held.reason == reason
    np.testing.assert_allclose(held.T_base_ee, rig.run(0.2).T_base_ee, atol=1e-6)
    restore(rig)
    assert rig.run(0.5).mode is SupervisorMode.ACTIVE
    rig.check_no_step()
    modes = [e.mode for e in rig.supervisor.drain_events() if e.reason == reason]
    if reason == "chunk_expired":  # the chunk's own end is already a stop
        assert modes == [SupervisorMode.HOLD]
    else:
        assert modes == [SupervisorMode.HOLD_RAMP, SupervisorMode.HOLD]


def test_stale_chunk_is_not_executed_to_its_end():
    rig = Rig(SafetyConfig(watchdogs=WatchdogConfig(max_chunk_age_s=0.3)))
    rig.run(0.5)
    rig.chunks = False
    assert rig.seconds_to_hold() <= 0.3 + 0.011
    assert rig.commands[-1].reason == "stale_chunk"


def test_arm_waits_for_the_first_chunk_where_it_is():
    rig = Rig()
    rig.chunks = False
    command = rig.run(0.5)
    assert (command.mode, command.reason) == (SupervisorMode.HOLD, "waiting")
    np.testing.assert_allclose(command.T_base_ee, make_transform(DOWN, START_M), atol=1e-12)
    assert command.gripper_width_m == 0.08


def test_chunks_are_followed_closely():
    rig = Rig()
    rig.run(3.0)
    errors_m = [
        np.linalg.norm(command.T_base_ee[:3, 3] - rig.path(stamp_ns / 1e9 - 1.0))
        for command, stamp_ns in zip(rig.commands[100:], rig.stamps_ns[100:], strict=True)
    ]
    assert max(errors_m) < 0.004
    assert rig.commands[-1].gripper_width_m == 0.04
    assert all(result.accepted for result in rig.results)


def test_workspace_is_never_left_and_the_intervention_is_reported():
    rig = Rig(path=lambda t: START_M + np.array([0.0, 0.0, -0.4 * t]))
    rig.run(3.0)
    heights_m = [c.T_base_ee[2, 3] for c in rig.commands]
    assert min(heights_m) >= CONFIG.workspace.min_m[2] - 1e-5
    assert (rig.commands[-1].mode, rig.commands[-1].reason) == (SupervisorMode.ACTIVE, "workspace")
    assert heights_m[-1] == pytest.approx(CONFIG.workspace.min_m[2], abs=1e-3)
    rig.check_no_step()


def test_chunk_that_jumps_makes_no_step():
    rig = Rig(path=lambda t: START_M + np.array([0.0, 0.3 if t % 0.6 < 0.3 else -0.3, 0.0]))
    rig.run(3.0)
    rig.check_no_step()


def test_operator_hold_lasts_until_release_and_needs_a_new_chunk():
    rig = Rig()
    rig.run(0.5)
    rig.supervisor.operator_hold("e-stop pressed")
    assert rig.tick().reason == "e-stop pressed"
    assert rig.run(1.0).mode is SupervisorMode.HOLD
    rig.chunks = False
    rig.supervisor.release()
    assert rig.tick().reason == "waiting"
    rig.chunks = True
    assert rig.run(0.2).mode is SupervisorMode.ACTIVE
    rig.check_no_step()


def test_operator_hold_survives_a_reset():
    rig = Rig()
    rig.supervisor.operator_hold("door open")
    rig.supervisor.reset(rig.now_ns, rig.state)
    assert rig.run(0.3).reason == "door open"


def test_clock_running_backwards_is_not_followed():
    rig = Rig()
    rig.run(0.5)
    rig.now_ns -= 300_000_000
    command = rig.tick()
    assert (command.mode, command.reason) == (SupervisorMode.HOLD_RAMP, "clock_backwards")
    rig.run(1.0)
    rig.check_no_step()
    assert rig.commands[-1].mode is SupervisorMode.ACTIVE


def test_clock_behind_before_the_first_tick_makes_no_leap():
    rig, tick_ns = Rig(path=lambda t: START_M + 0.2), 5_000_000
    poses = [rig.state.T_base_ee] * 4
    for k in range(8):
        # The chunk is in force when the clock falls behind: the arm must not make up for the time that it lost.
        rig.supervisor.submit(rig.chunk(rig.now_ns), rig.now_ns)
        behind_ns = 30_000_000 if k in (0, 3) else 0
        command = rig.supervisor.step(rig.now_ns + (k + 1) * tick_ns - behind_ns, rig.state)
        poses.append(command.T_base_ee)
    assert poses[-1][0, 3] > START_M[0]
    assert violations(poses, [], tick_ns / 1e9, PANDA, CONFIG) == []


def test_same_instant_twice_gives_the_same_command():
    rig = Rig()
    rig.run(0.5)
    before = rig.commands[-1]
    again = rig.supervisor.step(rig.stamps_ns[-1], rig.state)
    np.testing.assert_array_equal(before.T_base_ee, again.T_base_ee)


def test_implausible_states_hold():
    rig = Rig()
    rig.run(0.3)
    jumped = rig.commands[-1].T_base_ee.copy()
    jumped[0, 3] += 0.12
    rig.state = RobotState(rig.now_ns, np.zeros(7), np.zeros(7), jumped, 0.08)
    rig.states = False
    assert rig.tick().reason == "state_jump"
    rig.states = True
    rig.run(0.5)
    fast = RobotState(rig.now_ns, np.zeros(7), np.full(7, 2.5), rig.commands[-1].T_base_ee, 0.08)
    assert rig.supervisor.step(rig.now_ns, fast).reason == "joint_velocity"


def test_blocked_arm_is_not_pushed_on():
    rig = Rig(path=lambda t: START_M + np.array([0.0, 0.25 * t, 0.0]))
    blocked = make_transform(DOWN, START_M)
    for _ in range(100):
        rig.commands = []
        rig.states = False
        rig.state = rig.state_at(blocked)
        command = rig.tick()
    assert command.reason == "following_error"
    ahead_m = np.linalg.norm(command.T_base_ee[:3, 3] - START_M)
    assert ahead_m < CONFIG.watchdogs.max_following_error_m + 0.05


def test_lost_tracks_are_reported_and_hold_only_if_asked_to():
    rig = Rig()
    rig.tracked = 1
    assert rig.run(0.9).reason == "following"
    command = rig.run(0.5)
    assert (command.mode, command.reason) == (SupervisorMode.ACTIVE, "few_tracks")
    strict = Rig(SafetyConfig(watchdogs=WatchdogConfig(hold_tracked_share=0.2)))
    strict.tracked = 1
    assert 1.0 <= strict.seconds_to_hold() <= 1.06
    assert strict.commands[-1].reason == "tracks_lost"
    strict.tracked = 10
    assert strict.run(0.5).mode is SupervisorMode.ACTIVE


def test_chunks_are_refused_with_a_reason():
    rig = Rig()
    supervisor, now_ns = rig.supervisor, 10_000_000_000
    rig.now_ns = now_ns
    supervisor.reset(now_ns, rig.state_at(make_transform(DOWN, START_M)))
    assert "future" in supervisor.submit(rig.chunk(now_ns + 50_000_000), now_ns).reason
    assert "old" in supervisor.submit(rig.chunk(now_ns - 3_000_000_000), now_ns).reason
    assert "too slow" in supervisor.submit(rig.chunk(now_ns - 1_000_000_000), now_ns).reason
    assert supervisor.submit(rig.chunk(now_ns), now_ns).accepted
    late = supervisor.submit(rig.chunk(now_ns - 100_000_000), now_ns)
    assert not late.accepted
    assert "newer" in late.reason


def test_events_tell_the_story_once():
    rig = Rig()
    rig.run(0.5)
    rig.supervisor.operator_hold("operator")
    rig.run(1.0)
    story = [(e.mode, e.reason) for e in rig.supervisor.drain_events()]
    assert story == [
        (SupervisorMode.ACTIVE, "following"),
        (SupervisorMode.HOLD_RAMP, "operator"),
        (SupervisorMode.HOLD, "operator"),
    ]
    assert rig.supervisor.drain_events() == []


def test_step_before_reset_is_refused():
    with pytest.raises(NotReadyError, match="reset"):
        SafetySupervisor(CONFIG, FR3).step(0, Rig().state)


def test_motion_beyond_the_robot_is_refused_at_load():
    with pytest.raises(ConfigError, match="panda allows"):
        SafetySupervisor(SafetyConfig(motion=MotionLimits(rotation_velocity_rad_s=3.0)), PANDA)


def test_config_round_trips_through_yaml_values_and_refuses_nonsense():
    config = SafetyConfig(watchdogs=WatchdogConfig(max_frame_age_s=None))
    assert from_mapping(SafetyConfig, to_mapping(config), "test") == config
    with pytest.raises(ConfigError, match="workspace is empty along z"):
        WorkspaceBox(min_m=(0.0, 0.0, 0.5), max_m=(1.0, 1.0, 0.5))
    with pytest.raises(ConfigError, match="max_state_age_s"):
        WatchdogConfig(max_state_age_s=0.0)
    with pytest.raises(ConfigError, match="hold_tracked_share"):
        WatchdogConfig(hold_tracked_share=1.5)


def test_same_inputs_give_the_same_commands_bit_for_bit():
    first, second = Rig(), Rig()
    first.run(1.0)
    second.run(1.0)
    for a, b in zip(first.commands, second.commands, strict=True):
        np.testing.assert_array_equal(a.T_base_ee, b.T_base_ee)


def test_a_tick_is_cheap():
    rig = Rig()
    rig.run(0.5)
    costs_s = []
    for _ in range(200):
        start_s = time.thread_time()
        rig.supervisor.step(rig.now_ns, rig.state_at(rig.commands[-1].T_base_ee))
        costs_s.append(time.thread_time() - start_s)
    assert np.median(costs_s) < 1e-3
