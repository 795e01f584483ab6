"""The commanded pose keeps its limits, checked by finite differences over arbitrary targets."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_bringup.arm.limits import FR3, PANDA, RobotModel, limits_for
from glue_bringup.safety.config import MotionLimits, WorkspaceBox
from glue_bringup.safety.motion_limiter import MAX_STEP_S, AxisState, AxisTriple, MotionLimiter
from glue_perception.errors import ConfigError
from glue_perception.geometry import make_transform, matrix_from_rotation_vector, rotation_vector

LIMITS = MotionLimits()
BOX = WorkspaceBox()
START = make_transform(np.diag([1.0, -1.0, -1.0]), np.array([0.45, 0.0, 0.4]))


def derivatives(samples: np.ndarray, dt_s: float) -> list[float]:
    """Return the largest norm of the first three differences: bounds of mean velocity, acceleration and jerk."""
    largest = []
    for _ in range(3):
        samples = np.diff(samples, axis=0) / dt_s
        largest.append(float(np.linalg.norm(samples, axis=1).max()))
    return largest


def angular_velocities(rotations: np.ndarray, dt_s: float) -> np.ndarray:
    return np.array([rotation_vector(b @ a.T) / dt_s for a, b in itertools.pairwise(rotations)])


def check(poses: np.ndarray, dt_s: float) -> None:
    speed, acceleration, jerk = derivatives(poses[:, :3, 3], dt_s)
    assert speed <= LIMITS.translation_velocity_m_s * (1 + 1e-6)
    assert acceleration <= LIMITS.translation_acceleration_m_s2 * (1 + 1e-6)
    assert jerk <= LIMITS.translation_jerk_m_s3 * (1 + 1e-5)
    omega = angular_velocities(poses[:, :3, :3], dt_s)
    assert np.linalg.norm(omega, axis=1).max() <= LIMITS.rotation_velocity_rad_s * (1 + 1e-6)
    alpha, jerk = (np.linalg.norm(np.diff(omega, n, axis=0) / dt_s**n, axis=1).max() for n in (1, 2))
    assert alpha <= LIMITS.rotation_acceleration_rad_s2 * (1 + 1e-6)
    assert jerk <= LIMITS.rotation_jerk_rad_s3 * (1 + 1e-6)
    assert np.all(poses[:, :3, 3] >= np.array(BOX.min_m) - 1e-5)
    assert np.all(poses[:, :3, 3] <= np.array(BOX.max_m) + 1e-5)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    dt_ms=st.sampled_from([1, 5, 10]),
    mean_dwell=st.sampled_from([1, 3, 15, 60]),
    scale=st.sampled_from([0.01, 0.2, 3.0]),
)
def test_bounds_hold_whatever_the_target_does(seed, dt_ms, mean_dwell, scale):
    rng = np.random.default_rng(seed)
    limiter = MotionLimiter(LIMITS, BOX)
    limiter.reset(START)
    poses = [START, START, START]
    dt_s = dt_ms / 1000
    braking = False
    for _ in range(120):
        if rng.random() < 1 / mean_dwell or len(poses) == 3:
            position_m = START[:3, 3] + scale * rng.standard_normal(3)
            rotation = matrix_from_rotation_vector(4 * scale * rng.standard_normal(3)) @ START[:3, :3]
            target = make_transform(rotation, position_m)
            velocity, omega = scale * rng.standard_normal((2, 3))
            braking = rng.random() < 0.2
        if braking:
            poses.append(limiter.brake(dt_s))
        else:
            poses.append(limiter.follow(target, velocity, omega, dt_s))
    check(np.array(poses), dt_s)


def test_target_that_flips_sides_every_tick_keeps_the_bounds():
    limiter = MotionLimiter(LIMITS, BOX)
    limiter.reset(START)
    poses = [START, START, START]
    for k in range(400):
        side = 1.0 if k // 7 % 2 else -1.0
        turned = matrix_from_rotation_vector(side * np.array([3.1, 0.0, 0.3])) @ START[:3, :3]
        target = make_transform(turned, START[:3, 3] + side * np.array([9.0, -9.0, 9.0]))
        poses.append(limiter.follow(target, side * np.ones(3) * 5, side * np.ones(3) * 9, 0.01))
    check(np.array(poses), 0.01)


def test_box_is_kept_when_run_against_at_full_speed():
    limiter = MotionLimiter(LIMITS, BOX)
    limiter.reset(START)
    poses = [START, START, START]
    far = make_transform(START[:3, :3], np.array([0.45, 0.0, -5.0]))
    for _ in range(400):
        poses.append(limiter.follow(far, np.array([0.0, 0.0, -0.5]), np.zeros(3), 0.01))
    check(np.array(poses), 0.01)
    assert poses[-1][2, 3] == pytest.approx(BOX.min_m[2], abs=2e-3)


def test_start_outside_the_box_may_only_approach_it():
    limiter = MotionLimiter(LIMITS, BOX)
    outside = make_transform(np.eye(3), np.array([0.1, 0.0, 0.4]))
    limiter.reset(outside)
    beyond = make_transform(np.eye(3), np.array([-1.0, 0.0, 0.4]))
    for _ in range(50):
        pose = limiter.follow(beyond, np.zeros(3), np.zeros(3), 0.01)
    assert pose[0, 3] >= 0.1 - 1e-5
    for _ in range(600):  # half a turn at 0.82 rad/s, one axis' share
        pose = limiter.follow(START, np.zeros(3), np.zeros(3), 0.01)
    np.testing.assert_allclose(pose, START, atol=1e-6)


def test_uniform_motion_is_followed_without_lag():
    limiter = MotionLimiter(LIMITS, BOX)
    limiter.reset(START)
    velocity, omega = np.array([0.0, 0.15, -0.1]), np.array([0.2, 0.0, 0.3])
    for k in range(1, 101):
        rotation = matrix_from_rotation_vector(omega * k * 0.01) @ START[:3, :3]
        target = make_transform(rotation, START[:3, 3] + velocity * k * 0.01)
        pose = limiter.follow(target, velocity, omega, 0.01)
    np.testing.assert_allclose(pose, target, atol=1e-4)


def test_brake_comes_to_rest_and_stays():
    limiter = MotionLimiter(LIMITS, BOX)
    limiter.reset(START)
    far = make_transform(START[:3, :3], np.array([0.7, 0.3, 0.1]))
    for _ in range(40):
        limiter.follow(far, np.zeros(3), np.zeros(3), 0.01)
    assert not limiter.at_rest
    for _ in range(60):
        rest = limiter.brake(0.01)
    assert limiter.at_rest
    np.testing.assert_allclose(limiter.brake(0.01), rest, atol=1e-9)


def test_where_no_plan_is_found_the_motion_brakes():
    """A way of hours is beyond what Ruckig plans."""
    axes, dt_s = AxisTriple(velocity=0.0002, acceleration=2.0, jerk=40.0), 0.01
    state = AxisState(np.zeros(3), np.array([1e-4, 0.0, 0.0]), np.zeros(3))
    for _ in range(10):
        state = axes.chase(state, np.array([2.0, 0.0, 0.0]), np.zeros(3), dt_s)
    np.testing.assert_allclose(state.velocity, 0.0, atol=1e-9)


def test_a_pause_makes_no_leap():
    limiter = MotionLimiter(LIMITS, BOX)
    limiter.reset(START)
    far = make_transform(START[:3, :3], np.array([0.45, 0.4, 0.4]))
    for _ in range(50):
        before = limiter.follow(far, np.zeros(3), np.zeros(3), 0.01)
    after = limiter.follow(far, np.zeros(3), np.zeros(3), 5.0)
    assert np.linalg.norm((after - before)[:3, 3]) <= LIMITS.translation_velocity_m_s * MAX_STEP_S


def test_bounds_above_the_robots_table_are_refused():
    with pytest.raises(ConfigError, match=r"translation_velocity_m_s is 2.*panda allows 1\.7"):
        MotionLimits(translation_velocity_m_s=2.0).check_against(PANDA)
    MotionLimits(translation_velocity_m_s=2.0).check_against(FR3)
    with pytest.raises(ConfigError, match="rotation_acceleration_rad_s2"):
        MotionLimits(rotation_acceleration_rad_s2=20.0).check_against(FR3)
    with pytest.raises(ConfigError, match="must be positive"):
        MotionLimits(rotation_jerk_rad_s3=0.0)


def test_every_model_has_its_own_table():
    assert [limits_for(model).model for model in RobotModel] == list(RobotModel)
    assert PANDA.joint_position_min_rad[5] < 0 < FR3.joint_position_min_rad[5]
    for table in (PANDA, FR3):
        low, high = np.array(table.joint_position_min_rad), np.array(table.joint_position_max_rad)
        assert np.all(low < high)
