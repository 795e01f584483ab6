import time

import numpy as np
import pytest

from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.experts.motion import FINGER_TIP_M
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.sim.tasks.push_button import PRESSED_SHARE, TRAVEL_M
from glue_perception.errors import HardwareError, InvalidValueError
from glue_perception.geometry import project_points
from glue_policy.data.point_cloud import deproject

MS = 1_000_000
SMALL = CameraConfig(width_px=160, height_px=120)


@pytest.fixture(scope="module")
def twin():
    with SyncTwin("push_button", seed=0) as twin:
        yield twin


def press(twin, target_width_m: float, steps: int = 400) -> None:
    """Push down onto the cap in a straight line from wherever the arm is, by hand."""
    twin.arm.start()
    twin.gripper.command(target_width_m)
    begin = twin.arm.state().T_base_ee.copy()
    end = np.diag([1.0, -1.0, -1.0, 1.0])
    for height in (0.08, -0.02):
        end[:3, 3] = twin.truth.cap_top_m + np.array([0.0, 0.0, height])
        for share in np.linspace(0.0, 1.0, steps // 2):
            target = end.copy()
            target[:3, 3] = (1 - share) * begin[:3, 3] + share * end[:3, 3]
            twin.arm.set_target(target)
            twin.advance(10 * MS)
        begin = end.copy()


def trajectory(twin, seed: int) -> list[bytes]:
    twin.reset(seed)
    expert = get_expert("push_button")
    twin.arm.start()
    seen = []
    for _ in range(12):
        state = twin.arm.state()
        seen.append(state.joint_position_rad.tobytes() + state.T_base_ee.tobytes())
        action = expert.action(state, twin.truth)
        twin.gripper.command(action.gripper_width_m)
        twin.arm.set_target(action.T_base_ee)
        twin.advance(100 * MS)
    return seen


def test_a_seed_gives_the_same_bits(twin) -> None:
    first = trajectory(twin, 3)
    other = trajectory(twin, 4)
    assert first == trajectory(twin, 3)
    assert first != other
    with SyncTwin("push_button", seed=9) as fresh:
        assert first == trajectory(fresh, 3)


@pytest.mark.render
def test_looking_changes_nothing() -> None:
    with SyncTwin("push_button", 0, SMALL) as blind, SyncTwin("push_button", 0, SMALL) as seeing:
        for twin in (blind, seeing):
            twin.arm.start()
            target = twin.arm.state().T_base_ee.copy()
            target[:3, 3] += (0.05, 0.02, -0.05)
            twin.arm.set_target(target)
        for _ in range(20):
            blind.advance(5 * MS)
            seeing.advance(5 * MS)
            seeing.render()
            seeing.arm.state()
        assert (
            blind.arm.state().joint_position_rad.tobytes() == seeing.arm.state().joint_position_rad.tobytes()
        )


@pytest.mark.render
def test_frames_of_a_seed_are_equal_and_stamped() -> None:
    with SyncTwin("push_button", 1, SMALL) as twin:
        twin.advance(7 * MS)
        frame = twin.render()
        assert frame.stamp_ns == 7 * MS == twin.clock.now_ns()
        twin.reset(2)
        assert not np.array_equal(frame.rgb, twin.render().rgb)
        twin.reset(1)
        twin.advance(7 * MS)
        assert np.array_equal(frame.rgb, twin.render().rgb)


@pytest.mark.render
@pytest.mark.parametrize("seed", range(4))
def test_the_button_is_where_the_camera_model_says(twin, seed) -> None:
    twin.reset(seed)
    rgb = twin.render().rgb.astype(int)
    rows, cols = np.nonzero((rgb[..., 0] > 90) & (rgb[..., 1] < 70) & (rgb[..., 2] < 70))
    assert np.ptp(cols) + 1 >= 25
    expected = project_points(twin.truth.cap_top_m[None], twin.T_base_camera, twin.intrinsics)[0]
    np.testing.assert_allclose([cols.mean(), rows.mean()], expected, atol=5.0)


@pytest.mark.render
def test_depth_is_where_the_table_and_the_button_are() -> None:
    with SyncTwin("push_button", 1, CameraConfig(depth=True)) as twin:
        frame = twin.render()
        cap_top_m, extrinsics = twin.truth.cap_top_m, twin.T_base_camera
    assert frame.depth_m.dtype == np.float32
    points_m = deproject(frame.depth_m, frame.intrinsics, extrinsics).reshape(*frame.depth_m.shape, 3)
    col, row = np.rint(project_points(cap_top_m[None], extrinsics, frame.intrinsics)[0]).astype(int)
    np.testing.assert_allclose(points_m[row, col], cap_top_m, atol=0.004)
    near = np.all(np.abs(points_m[..., :2] - cap_top_m[:2]) < 0.2, axis=-1)
    on_table = near & (np.abs(points_m[..., 2]) < 0.002)
    assert on_table.sum() > 0.5 * near.sum(), "what is not the button or the arm is the table's top"
    assert points_m[near][:, 2].min() > -0.002
    with SyncTwin("push_button", 1, CameraConfig()) as plain:
        without = plain.render()
    assert without.depth_m is None
    assert np.array_equal(without.rgb, frame.rgb)


def test_it_stands_still_until_told_otherwise(twin) -> None:
    twin.reset(0)
    before = twin.arm.state().T_base_ee[:3, 3].copy()
    twin.arm.start()
    twin.advance(1000 * MS)
    assert np.linalg.norm(twin.arm.state().T_base_ee[:3, 3] - before) < 5e-4


def test_the_arm_reaches_a_target_within_millimetres(twin) -> None:
    twin.reset(0)
    twin.arm.start()
    target = twin.arm.state().T_base_ee.copy()
    for _ in range(100):
        target[:3, 3] += (0.0005, 0.001, -0.001)
        twin.arm.set_target(target)
        twin.advance(10 * MS)
    twin.advance(1000 * MS)
    assert np.linalg.norm(twin.arm.state().T_base_ee[:3, 3] - target[:3, 3]) < 6e-3


def test_a_closed_gripper_that_presses_succeeds_for_good(twin) -> None:
    twin.reset(5)
    assert not twin.is_success()
    press(twin, 0.0)
    assert twin.is_success()
    lifted = twin.arm.state().T_base_ee.copy()
    lifted[2, 3] += 0.1
    twin.arm.set_target(lifted)
    twin.advance(500 * MS)
    assert twin.is_success()
    twin.reset(5)
    assert not twin.is_success()


def test_an_open_gripper_that_presses_does_not_count(twin) -> None:
    twin.reset(5)
    press(twin, 0.03)
    tips_below_top_m = twin.truth.cap_top_m[2] - (twin.arm.state().T_base_ee[2, 3] - FINGER_TIP_M)
    assert tips_below_top_m > PRESSED_SHARE * TRAVEL_M
    assert not twin.is_success()


def test_the_gripper_takes_its_time_and_does_not_block(twin) -> None:
    twin.reset(0)
    start = twin.gripper.width_m()
    twin.gripper.command(0.0)
    assert twin.gripper.width_m() == start
    twin.advance(100 * MS)
    assert 0.005 < twin.gripper.width_m() < start
    twin.advance(1000 * MS)
    assert twin.gripper.width_m() < 0.004
    twin.gripper.command(0.5)
    twin.advance(2000 * MS)
    assert twin.gripper.width_m() == pytest.approx(0.08, abs=0.004)


def test_a_reset_is_cheap_and_begins_at_zero(twin) -> None:
    twin.advance(5 * MS)
    begin = time.perf_counter()
    twin.reset(11)
    assert time.perf_counter() - begin < 0.2
    assert twin.clock.now_ns() == 0
    assert twin.arm.state().stamp_ns == 0


def test_targets_need_control_and_time_needs_whole_steps(twin) -> None:
    twin.reset(0)
    with pytest.raises(HardwareError, match=r"start\(\)"):
        twin.arm.set_target(np.eye(4))
    with pytest.raises(InvalidValueError, match="1500000"):
        twin.advance(1_500_000)
    with pytest.raises(InvalidValueError):
        twin.advance(-MS)
