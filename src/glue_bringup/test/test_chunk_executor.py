import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_bringup.safety.chunk_executor import ChunkExecutor
from glue_bringup.safety.config import ExecutorConfig
from glue_perception.errors import ConfigError
from glue_perception.geometry import matrix_from_rotation_vector, rotation_6d_from_matrix
from glue_perception.types import ActionChunk

S = 1_000_000_000
MS = 1_000_000


def make_chunk(stamp_ns: int = 5 * S, horizon: int = 4, dt_s: float = 0.1) -> ActionChunk:
    k = np.arange(horizon)
    rotations = np.stack([matrix_from_rotation_vector(np.array([0.0, 0.0, 0.2 * i])) for i in k])
    return ActionChunk(
        stamp_ns=stamp_ns,
        dt_s=dt_s,
        position_m=np.stack([0.01 * k, 0.02 * k, 0.0 * k], axis=1),
        rotation_6d=rotation_6d_from_matrix(rotations),
        gripper_width_m=0.01 * k,
    )


def executor_with(chunk: ActionChunk) -> ChunkExecutor:
    executor = ChunkExecutor(ExecutorConfig(linger_s=0.2, lookahead_s=0.1))
    executor.set_chunk(chunk, chunk.stamp_ns)
    return executor


@settings(max_examples=100, deadline=None, derandomize=True)
@given(late_ns=st.integers(0, 300 * MS))
def test_interpolation_is_exact_at_any_instant(late_ns):
    sample = executor_with(make_chunk()).sample(5 * S + late_ns)
    k = late_ns / (100 * MS)
    np.testing.assert_allclose(sample.T_base_ee[:3, 3], [0.01 * k, 0.02 * k, 0.0], atol=1e-12)
    expected = matrix_from_rotation_vector(np.array([0.0, 0.0, 0.2 * k]))
    np.testing.assert_allclose(sample.T_base_ee[:3, :3], expected, atol=1e-9)
    assert sample.gripper_width_m == pytest.approx(0.01 * int(k))


def test_late_actions_are_dropped_never_replayed():
    executor = executor_with(make_chunk())
    sample = executor.sample(5 * S + 250 * MS)
    np.testing.assert_allclose(sample.T_base_ee[:3, 3], [0.025, 0.05, 0.0], atol=1e-12)


def test_first_action_holds_before_its_time_and_the_last_one_after_it():
    executor = executor_with(make_chunk())
    np.testing.assert_allclose(executor.sample(5 * S - MS).T_base_ee[:3, 3], np.zeros(3))
    late = executor.sample(5 * S + 500 * MS)
    np.testing.assert_allclose(late.T_base_ee[:3, 3], [0.03, 0.06, 0.0])
    np.testing.assert_array_equal(late.linear_velocity_m_s, np.zeros(3))


def test_chunk_expires_after_its_last_action():
    executor = executor_with(make_chunk())
    assert executor.sample(5 * S + 500 * MS) is not None
    assert executor.sample(5 * S + 500 * MS + 1) is None


def test_nothing_is_sampled_without_a_chunk():
    executor = ChunkExecutor(ExecutorConfig())
    assert executor.sample(0) is None
    executor.set_chunk(make_chunk(), 0)
    executor.clear()
    assert executor.sample(5 * S) is None


def test_velocity_is_the_mean_ahead_and_fades_towards_the_end():
    executor = executor_with(make_chunk())
    sample = executor.sample(5 * S)
    np.testing.assert_allclose(sample.linear_velocity_m_s, [0.1, 0.2, 0.0], atol=1e-12)
    np.testing.assert_allclose(sample.angular_velocity_rad_s, [0.0, 0.0, 2.0], atol=1e-9)
    half = executor.sample(5 * S + 250 * MS)
    np.testing.assert_allclose(half.linear_velocity_m_s, [0.05, 0.1, 0.0], atol=1e-12)


def test_newer_chunk_is_in_force_at_once():
    executor = executor_with(make_chunk())
    executor.set_chunk(make_chunk(5 * S + 100 * MS), 5 * S + 100 * MS)
    np.testing.assert_allclose(executor.sample(5 * S + 100 * MS).T_base_ee[:3, 3], np.zeros(3))


def test_the_step_from_chunk_to_chunk_is_told():
    executor = ChunkExecutor(ExecutorConfig())
    assert executor.set_chunk(make_chunk(), 5 * S) is None
    # At 200 ms the first chunk is at (0.02, 0.04), turned by 0.4 rad; the second half as far.
    jump = executor.set_chunk(make_chunk(5 * S + 100 * MS), 5 * S + 200 * MS)
    assert jump.position_m == pytest.approx(np.hypot(0.01, 0.02))
    assert jump.rotation_rad == pytest.approx(0.2)


def test_chunk_of_one_action_is_a_constant_target():
    executor = executor_with(make_chunk(horizon=1))
    assert executor.sample(5 * S + 150 * MS) is not None
    assert executor.sample(5 * S + 201 * MS) is None


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="linger_s"):
        ExecutorConfig(linger_s=-0.1)
    with pytest.raises(ConfigError, match="lookahead_s"):
        ExecutorConfig(lookahead_s=0.0)


def test_actions_are_sent_early_for_an_arm_that_follows_late():
    executor = ChunkExecutor(ExecutorConfig(lead_s=0.05))
    executor.set_chunk(make_chunk(), 5 * S)
    np.testing.assert_allclose(
        executor.sample(5 * S + 50 * MS).T_base_ee[:3, 3], [0.01, 0.02, 0.0], atol=1e-12
    )
    with pytest.raises(ConfigError, match="lead_s"):
        ExecutorConfig(lead_s=-0.1)
