import numpy as np
import pytest
from expert_episode import fly
from franky_sim.mujoco_simulator import FrankaMujocoRobot
from hypothesis import given
from hypothesis import strategies as st

from glue_bringup.gripper.franky_gripper import FrankyGripperConfig
from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.experts.pick_and_place import repeated
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.sim.tasks import get_task
from glue_bringup.sim.tasks.free_bodies import FreeBodies, upright
from glue_bringup.sim.tasks.fruit_and_plate import MANGO_HALF_M, PLATE_RADIUS_M
from glue_bringup.sim.tasks.stack_block import BLUE_HALF_M, WHITE_HALF_M
from glue_perception.geometry import matrix_from_rotation_vector, project_points

MS = 1_000_000
TASKS = ("stack_block", "place_fruit")
BODIES = {"stack_block": ("white_block", "blue_block"), "place_fruit": ("mango", "plate")}
RADIUS_M = {
    "stack_block": (np.hypot(*WHITE_HALF_M[:2]), np.hypot(*BLUE_HALF_M[:2])),
    "place_fruit": (MANGO_HALF_M[0], PLATE_RADIUS_M),
}
RINGS_M = {  # radius, and height above the table, of circles that hold each object
    "stack_block": (((0.032, 0.0), (0.032, 0.040)), ((0.0538, 0.0), (0.0538, 0.045))),
    "place_fruit": (((0.030, 0.0), (0.046, 0.025)), ((0.062, 0.0), (0.101, 0.034))),
}
ON_TOP_M = BLUE_HALF_M[2] * 2 + WHITE_HALF_M[2]


@pytest.fixture(scope="module", params=TASKS)
def twin(request):
    with SyncTwin(request.param, seed=0) as twin:
        yield twin


@pytest.fixture(scope="module")
def stack():
    with SyncTwin("stack_block", seed=0) as twin:
        yield twin


@pytest.fixture(scope="module")
def fruit():
    with SyncTwin("place_fruit", seed=0) as twin:
        yield twin


def poses(layout) -> list[np.ndarray]:
    return list(vars(layout).values())


def rest(twin, *where, width_m: float = 0.08, seconds: float = 1.0) -> bool:
    """Put the objects there, open the gripper that far, wait, and return whether the twin calls it a success."""
    twin.reset(0)
    FreeBodies(twin._model, BODIES[twin.task.name]).place(twin._data, where)
    twin.gripper.command(width_m)
    twin.arm.start()
    twin.advance(round(seconds * 1000) * MS)
    return twin.is_success()


@pytest.mark.parametrize("name", TASKS)
@given(seed=st.integers(0, 2**31))
def test_a_seed_gives_one_layout_on_the_table_in_view_and_apart(name, seed) -> None:
    task, camera = get_task(name), CameraConfig()
    layout, again = task.sample_layout(seed), task.sample_layout(seed)
    angle = np.linspace(0.0, 2 * np.pi, 24)
    for T, same, rings in zip(poses(layout), poses(again), RINGS_M[name], strict=True):
        assert np.array_equal(T, same)
        np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
        assert T[2, 2] == 1.0
        assert 0.38 <= T[0, 3] <= 0.66
        assert abs(T[1, 3]) <= 0.20
        for radius_m, height_m in rings:
            around = radius_m * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
            points = np.array([*T[:2, 3], height_m]) + around
            pixels = project_points(points, camera.T_base_camera, camera.intrinsics)
            assert (pixels > 1).all()
            assert (pixels < (camera.width_px - 2, camera.height_px - 2)).all()
    first, second = poses(layout)
    gap_m = np.linalg.norm((first - second)[:2, 3]) - sum(RADIUS_M[name])
    assert gap_m > 0.04


@pytest.mark.parametrize("name", TASKS)
def test_places_and_turns_vary(name) -> None:
    layouts = [poses(get_task(name).sample_layout(seed)) for seed in range(200)]
    for place in (np.array([layout[k] for layout in layouts]) for k in range(2)):
        assert np.ptp(place[:, 0, 3]) > 0.16
        assert np.ptp(place[:, 1, 3]) > 0.35
        yaws = np.arctan2(place[:, 1, 0], place[:, 0, 0])
        assert np.histogram(yaws, bins=8, range=(-np.pi, np.pi))[0].min() > 8


def test_objects_lie_still_where_the_layout_says_and_that_is_no_success(twin) -> None:
    twin.reset(4)
    before = poses(twin.truth)
    for T, wanted in zip(before, poses(twin.task.sample_layout(4)), strict=True):
        np.testing.assert_allclose(T, wanted, atol=1e-9)
    twin.gripper.command(0.08)
    twin.advance(1500 * MS)
    for T, start in zip(poses(twin.truth), before, strict=True):
        assert np.linalg.norm((T - start)[:3, 3]) < 1e-3
    assert not twin.is_success()


@pytest.mark.parametrize("seed", range(2))
def test_the_expert_solves_it_and_it_counts_only_after_letting_go(twin, seed) -> None:
    held = []

    def watch(_: int, expert) -> None:
        held.append(expert._phase.name in ("CARRY", "SET_DOWN", "OPEN"))
        assert not (held[-1] and twin.is_success())

    assert 5.0 < fly(twin, seed, 14.0, on_action=watch) < 14.0
    assert sum(held) > 10
    assert twin.gripper.width_m() > 0.06


def test_the_expert_succeeds_though_its_targets_are_disturbed(twin) -> None:
    """The disturbance has a standard deviation of 1 cm on each axis and a memory of half a second."""
    assert fly(twin, 7, 25.0, noise_m=0.006) < np.inf


def test_an_object_that_was_dropped_is_picked_up_again(twin) -> None:
    heights = []

    def drop(k: int, expert) -> float | None:
        heights.append(poses(twin.truth)[0][2, 3])
        carried = expert._phase.name == "CARRY" and not dropped
        if carried and heights[-1] > 0.12:
            dropped.append(k)
        return 0.08 if dropped and k < dropped[0] + 6 else None

    dropped: list[int] = []
    assert fly(twin, 2, 25.0, on_action=drop) < np.inf
    assert min(heights[dropped[0] :]) < 0.045
    assert max(heights[dropped[0] + 15 :]) > 0.10


def test_a_grasp_holds_by_contact_while_the_arm_hurries(stack) -> None:
    """20 N on each side carry the block through 0.4 m/s and sharp turns; with the fingers open it falls."""
    fly(stack, 5, 5.0)
    assert poses(stack.truth)[0][2, 3] > 0.06
    T = stack.arm.state().T_base_ee.copy()
    in_hand = T[:3, 3] - poses(stack.truth)[0][:3, 3]
    for k in range(200):
        target = T.copy()
        target[:3, 3] += (0.0, 0.08 * np.sin(k / 20), 0.06 + 0.04 * np.sin(k / 10))
        stack.arm.set_target(target)
        stack.advance(10 * MS)
    slip = stack.arm.state().T_base_ee[:3, 3] - poses(stack.truth)[0][:3, 3] - in_hand
    assert np.linalg.norm(slip) < 0.008
    stack.gripper.command(0.08)
    stack.advance(800 * MS)
    assert poses(stack.truth)[0][2, 3] < 0.08


def test_a_block_on_the_block_is_a_success_whichever_face_it_lies_on(stack) -> None:
    blue = upright(0.5, 0.0, BLUE_HALF_M[2], 0.3)
    assert rest(stack, upright(0.51, 0.01, ON_TOP_M, 1.0), blue)
    tipped = upright(0.51, 0.01, 2 * BLUE_HALF_M[2] + WHITE_HALF_M[0], 0.0)
    tipped[:3, :3] = matrix_from_rotation_vector(np.array([np.pi / 2, 0.0, 0.0]))
    assert rest(stack, tipped, blue)


def test_what_is_not_a_stack(stack) -> None:
    blue = upright(0.5, 0.0, BLUE_HALF_M[2], 0.3)
    on_top = upright(0.5, 0.0, ON_TOP_M, 0.0)
    assert rest(stack, on_top, blue)
    assert not rest(stack, on_top, blue, width_m=0.02)  # the gripper has not opened
    assert not rest(stack, on_top, blue, seconds=0.4)  # not for long enough
    assert not rest(stack, upright(0.5, 0.12, WHITE_HALF_M[2], 0.0), blue)  # beside it
    below = upright(0.5, 0.0, WHITE_HALF_M[2], 0.0)
    assert not rest(
        stack, below, upright(0.5, 0.0, 2 * WHITE_HALF_M[2] + BLUE_HALF_M[2], 0.0)
    )  # the other way
    leaning = upright(0.5 + BLUE_HALF_M[0] + 0.02, 0.0, ON_TOP_M, 0.0)  # falls off the edge
    assert not rest(stack, leaning, upright(0.5, 0.0, BLUE_HALF_M[2], 0.0))


def test_only_a_fruit_in_the_plate_is_a_success(fruit) -> None:
    plate = upright(0.5, 0.0, 0.0, 0.0)
    assert rest(fruit, upright(0.52, 0.01, 0.036, 0.7), plate, seconds=2.5)
    assert not rest(fruit, upright(0.52, 0.01, 0.036, 0.7), plate, width_m=0.02, seconds=2.5)
    beside = upright(0.5, 0.16, MANGO_HALF_M[2], 0.7)
    assert not rest(fruit, beside, plate, seconds=1.5)
    turned_over = upright(0.5, 0.0, 0.036, 0.0)
    turned_over[:3, :3] = np.diag([1.0, -1.0, -1.0])
    assert not rest(fruit, upright(0.5, 0.0, 0.062, 0.0), turned_over, seconds=2.5)


def test_a_pushed_plate_still_counts_where_it_is(fruit) -> None:
    assert rest(fruit, upright(0.61, -0.14, 0.036, 0.0), upright(0.6, -0.15, 0.0, 1.0), seconds=2.5)


@given(yaw=st.floats(-7.0, 7.0), quarters=st.sampled_from([1, 2]))
def test_equivalent_yaws_lie_within_half_a_turn_and_repeat(yaw, quarters) -> None:
    period = quarters * np.pi / 2
    yaws = repeated(yaw, period)
    assert len(yaws) in (4 // quarters, 4 // quarters + 1)  # one more where rounding meets the end
    assert all(-np.pi - 1e-9 <= y <= np.pi + 1e-9 for y in yaws)
    turns = (np.array(yaws) - yaw) / period
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    assert min(abs(y) for y in yaws) <= period / 2 + 1e-9


def test_franky_sims_own_gripper_holds_the_block_as_well(stack) -> None:
    """The protocol twin moves the fingers by franky-sim's law, with the 20 N that our driver asks a grasp for."""
    robot = FrankaMujocoRobot()
    robot._attach_to_scene(stack._model, stack._data, "robot0_")
    ours, stack._hand.apply = stack._hand.apply, robot._pre_step

    def command(_: int, expert) -> None:
        force_n = FrankyGripperConfig().force_n if expert._phase.name in ("CLOSE", "LIFT", "CARRY") else 70.0
        robot.set_hand_goal(stack._hand.goal_m, FrankyGripperConfig().speed_m_s, force_n)

    try:
        assert fly(stack, 3, 14.0, on_action=command) < np.inf
    finally:
        stack._hand.apply = ours
