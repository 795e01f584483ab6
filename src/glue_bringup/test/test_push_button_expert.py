import numpy as np
import pytest
from expert_episode import STEP_NS, fly

from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.sync_twin import SyncTwin


@pytest.fixture(scope="module")
def twin():
    with SyncTwin("push_button", seed=0) as twin:
        yield twin


@pytest.mark.parametrize("seed", range(8))
def test_it_presses_the_button_in_time(twin, seed) -> None:
    assert 1.5 < fly(twin, seed, 5.0) < 4.0


@pytest.mark.parametrize("seed", range(4))
def test_it_succeeds_though_its_targets_are_disturbed(twin, seed) -> None:
    """The disturbance has a standard deviation of 1 cm on each axis and a memory of half a second."""
    assert fly(twin, seed, 9.0, noise_m=0.006) < np.inf


def test_it_comes_back_after_a_shove(twin) -> None:
    def shove(k: int) -> np.ndarray:
        return np.array([0.0, 0.06, 0.0]) if 20 <= k < 26 else np.zeros(3)

    assert 2.6 < fly(twin, 1, 9.0, shove=shove) < np.inf


def test_targets_are_slow_smooth_and_point_down_in_the_end(twin) -> None:
    twin.reset(2)
    expert = get_expert("push_button")
    twin.arm.start()
    positions = []
    for _ in range(24):
        action = expert.action(twin.arm.state(), twin.truth)
        positions.append(action.T_base_ee[:3, 3])
        twin.arm.set_target(action.T_base_ee)
        twin.gripper.command(action.gripper_width_m)
        twin.advance(10 * STEP_NS)
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=1) / 0.1
    assert speed.max() < 0.27
    assert np.abs(np.diff(speed)).max() < 0.2
    np.testing.assert_allclose(action.T_base_ee[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-9)
