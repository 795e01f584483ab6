"""The joint path beneath the commanded pose: kinematics against the twin's description, and margins."""

import numpy as np
import pytest

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD
from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import FR3, PANDA, joint_velocity_bounds
from glue_bringup.faults.motion_audit import violations
from glue_bringup.safety.clearance_bound import ClearanceBound
from glue_bringup.safety.config import (
    JointGuardConfig,
    SafetyConfig,
    WatchdogConfig,
    WorkspaceBox,
)
from glue_bringup.safety.joint_guard import JointGuard
from glue_bringup.safety.joint_path import JointRamp, drifts
from glue_bringup.safety.supervisor import SafetySupervisor, SupervisorMode
from glue_perception.errors import ConfigError, HardwareError
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.types import ActionChunk, RobotState

HOME = np.array(PANDA_HOME_RAD)
HAND = make_transform(np.eye(3), np.array([0.0, 0.0, 0.1034]))
WIDE = WorkspaceBox(min_m=(-1.0, -1.0, -0.5), max_m=(1.0, 1.0, 1.5))
NO_CAMERA = WatchdogConfig(max_frame_age_s=None, max_key_patches_age_s=None)


def description():
    """Return the twin's own model of an FR3, which is another's description of the same arm."""
    pinocchio = pytest.importorskip("pinocchio")
    franky_sim = pytest.importorskip("franky_sim")
    from pathlib import Path

    urdf = Path(franky_sim.__file__).parent / "assets" / "fr3_clean.urdf"
    model = pinocchio.buildModelFromUrdf(str(urdf))
    return pinocchio, model, model.createData()


def test_kinematics_agree_with_the_twins_description():
    pinocchio, model, data = description()
    ours = ArmKinematics(FR3)
    rng = np.random.default_rng(0)
    low, high = np.array(FR3.joint_position_min_rad), np.array(FR3.joint_position_max_rad)
    name = next(f.name for f in model.frames if f.name.endswith("link8"))
    for _ in range(20):
        q = rng.uniform(low, high)
        pinocchio.framesForwardKinematics(model, data, np.append(q, np.zeros(model.nq - 7)))
        theirs = data.oMf[model.getFrameId(name)].homogeneous
        np.testing.assert_allclose(ours.flange_pose(q), theirs, atol=1e-6)


def test_jacobian_and_drift_are_the_derivatives_of_the_pose():
    model = ArmKinematics(PANDA)
    model.set_tool(HAND)
    rng = np.random.default_rng(1)
    q, dq, h = HOME + rng.uniform(-0.3, 0.3, 7), rng.normal(size=7), 1e-5
    ahead, behind = model.tool_pose(q + h * dq)[1], model.tool_pose(q - h * dq)[1]
    np.testing.assert_allclose((model.jacobian(q) @ dq)[:3], (ahead - behind) / (2 * h), atol=1e-6)
    change = (model.jacobian(q + h * dq) - model.jacobian(q - h * dq)) @ dq / (2 * h)
    np.testing.assert_allclose(model.drift(q, dq), change, atol=1e-5)


def test_drift_from_columns_is_that_of_the_library():
    model = ArmKinematics(FR3)
    model.set_tool(HAND)
    rng = np.random.default_rng(5)
    q, dq = HOME + rng.uniform(-0.5, 0.5, (20, 7)), rng.normal(size=(20, 7))
    expected = [model.drift(a, b) for a, b in zip(q, dq, strict=True)]
    np.testing.assert_allclose(drifts(model.along(q)[0], dq), expected, atol=1e-12)


def test_clearance_never_falls_faster_than_the_reach_says():
    model = ArmKinematics(FR3)
    rng = np.random.default_rng(3)
    low, high = np.array(FR3.joint_position_min_rad), np.array(FR3.joint_position_max_rad)
    for _ in range(400):
        q, turn = rng.uniform(low, high), rng.normal(size=7) * rng.uniform(0.0, 0.3)
        before_m, after_m = model.clearance_m(q), model.clearance_m(q + turn)
        # Overlapping links are reported as 0 or less, whatever their depth.
        assert max(before_m, 0.0) - max(after_m, 0.0) <= np.abs(turn) @ model.reach_m + 1e-6


def test_clearance_that_is_not_measured_is_never_overrated():
    model = ArmKinematics(FR3)
    bound, rng, measured = ClearanceBound(model), np.random.default_rng(4), 0
    low, high = np.array(FR3.joint_position_min_rad), np.array(FR3.joint_position_max_rad)
    for _ in range(40):
        start, end = rng.uniform(low, high), rng.uniform(low, high)
        for share in np.linspace(0.0, 1.0, 100):
            way = start + (share + np.array([0.0, 0.002, 0.004]))[:, None] * (end - start)
            least_m = min(model.clearance_m(q) for q in way)
            said_m = bound.least_m(way, 0.02)
            assert said_m <= least_m + 1e-9
            assert (said_m >= 0.02) == (least_m >= 0.02)
            measured += said_m == least_m
    assert measured < 0.6 * 40 * 100  # else nothing is saved


def test_clearance_is_wide_at_home_and_gone_in_some_poses():
    model = ArmKinematics(PANDA)
    assert model.clearance_m(HOME) > 0.1
    rng = np.random.default_rng(2)
    low, high = np.array(PANDA.joint_position_min_rad), np.array(PANDA.joint_position_max_rad)
    anywhere = [model.clearance_m(rng.uniform(low, high)) for _ in range(500)]
    assert 0.005 < np.mean(np.array(anywhere) < 0.0) < 0.1  # some poses within the ranges do collide
    assert 0.4 < model.lowest_m(HOME) < 0.6


class Flight:
    """A supervisor with the guard and a perfect arm that is sent to one place."""

    def __init__(self, config: SafetyConfig, limits=PANDA, start=HOME) -> None:
        model = ArmKinematics(limits)
        self.supervisor = SafetySupervisor(config, limits, model)
        self.now_ns, self.T = 10**9, model.flange_pose(start) @ HAND
        self.model, self.reasons = model, []
        self.supervisor.reset(self.now_ns, RobotState(self.now_ns, start, np.zeros(7), self.T, 0.04))

    def to(self, position_m, rotation=None, ticks: int = 400):
        rotation = self.T[:3, :3] if rotation is None else rotation
        for k in range(ticks):
            self.now_ns += 10_000_000
            if k % 10 == 0:
                sixd = np.tile(rotation_6d_from_matrix(rotation), (4, 1))
                chunk = ActionChunk(self.now_ns, 0.1, np.tile(position_m, (4, 1)), sixd, np.full(4, 0.04))
                assert self.supervisor.submit(chunk, self.now_ns).accepted
            path = self.supervisor.joint_path
            state = RobotState(self.now_ns, path.position, path.velocity, self.T, 0.04)
            command = self.supervisor.step(self.now_ns, state)
            self.T = command.T_base_ee
            self.reasons.append(command.reason)
        return command


def test_goal_within_reach_is_reached():
    flight = Flight(SafetyConfig(watchdogs=NO_CAMERA))
    command = flight.to(np.array([0.5, 0.2, 0.2]))
    np.testing.assert_allclose(command.T_base_ee[:3, 3], [0.5, 0.2, 0.2], atol=1e-3)
    assert set(flight.reasons) <= {"following", "joint_speed"}  # the goal is a leap


@pytest.mark.parametrize("goal", [(0.95, 0.0, 0.6), (0.0, 0.9, 0.9), (-0.3, 0.0, 0.3), (0.1, 0.0, 0.1)])
def test_goal_out_of_reach_stops_at_a_margin_and_the_way_back_is_free(goal):
    flight = Flight(SafetyConfig(workspace=WIDE, watchdogs=NO_CAMERA))
    flight.to(np.array(goal), ticks=300)
    assert {"joint_margin", "joint_speed", "singularity", "self_collision"} & set(flight.reasons[-50:])
    command = flight.to(np.array([0.4, 0.0, 0.5]), ticks=500)
    assert command.mode is SupervisorMode.ACTIVE
    np.testing.assert_allclose(command.T_base_ee[:3, 3], [0.4, 0.0, 0.5], atol=5e-3)


def test_palm_stays_above_the_table():
    config = SafetyConfig(workspace=WIDE, watchdogs=NO_CAMERA, joints=JointGuardConfig(table_height_m=0.1))
    flight = Flight(config)
    flight.to(np.array([0.5, 0.0, -0.2]), ticks=300)
    assert flight.reasons[-1] == "table"
    assert flight.model.lowest_m(flight.supervisor.joint_path.position) >= 0.1 - 1e-3


def test_measured_joint_at_its_end_holds():
    flight = Flight(SafetyConfig(watchdogs=NO_CAMERA))
    q = HOME.copy()
    q[3] = PANDA.joint_position_min_rad[3] + 0.01
    command = flight.supervisor.step(
        flight.now_ns + 10_000_000, RobotState(flight.now_ns, q, np.zeros(7), flight.T, 0.04)
    )
    assert command.reason == "joint_position"


def test_robots_are_never_mixed():
    with pytest.raises(ConfigError, match="limits are a panda's and the kinematics a fr3's"):
        SafetySupervisor(SafetyConfig(), PANDA, ArmKinematics(FR3))


def test_joints_and_tool_of_two_arms_are_refused():
    supervisor = SafetySupervisor(SafetyConfig(), PANDA, ArmKinematics(PANDA))
    far = make_transform(np.eye(3), np.array([-0.6, 0.5, 0.1]))
    with pytest.raises(HardwareError, match="check robot_model"):
        supervisor.reset(0, RobotState(0, HOME, np.zeros(7), far, 0.04))


def test_an_fr3_lowers_its_speeds_towards_the_ends_and_guard_and_audit_keep_to_it():
    q, dq = np.array([2.6, 0.0, 0.0, -1.5, 0.0, 2.0, 0.0]), np.array([1.2, 0, 0, 0, 0, 0, 0])
    lowest, highest = joint_velocity_bounds(FR3, q)
    assert highest[0] == pytest.approx(-0.30 + np.sqrt(12.0 * 0.1501))
    assert lowest[0] == -2.62
    assert joint_velocity_bounds(PANDA, q)[1][0] == 2.175
    for limits, velocity, too_fast in ((FR3, dq, True), (FR3, -dq, False), (PANDA, dq, False)):
        guard = JointGuard(JointGuardConfig(), ArmKinematics(limits))
        way = JointRamp(q[None], velocity[None], np.zeros((1, 7)), np.ones(1))
        assert guard._too_fast(way) == too_fast
        path = [q + velocity * 0.01 * k for k in range(-4, 1)]
        found = violations([np.eye(4)] * 4, path, 0.01, limits, SafetyConfig(workspace=WIDE))
        assert any("velocity of joint 1" in v for v in found) == too_fast
