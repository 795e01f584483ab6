import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.start_state import JOINT_SPREAD_RAD, sample_start
from glue_bringup.sim.tasks import TASK_NAMES, get_task
from glue_bringup.sim.tasks.push_button import AREA_X_M, AREA_Y_M
from glue_perception.errors import ConfigError


def test_a_misspelt_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="push_button"):
        get_task("push_buton")
    with pytest.raises(ConfigError, match="push_button"):
        get_expert("push_buton")


@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_task_has_queries_and_its_own_name(name) -> None:
    task = get_task(name)
    assert task.name == name
    assert task.queries


@given(seed=st.integers(0, 2**31))
def test_the_button_stands_in_its_area_and_a_seed_gives_one_layout(seed) -> None:
    task = get_task("push_button")
    layout, again = task.sample_layout(seed), task.sample_layout(seed)
    x, y, _ = layout.cap_top_m
    assert AREA_X_M[0] <= x <= AREA_X_M[1]
    assert AREA_Y_M[0] <= y <= AREA_Y_M[1]
    assert np.array_equal(layout.cap_top_m, again.cap_top_m)
    assert layout.yaw_rad == again.yaw_rad


def test_the_area_is_used_to_its_corners() -> None:
    tops = np.array([get_task("push_button").sample_layout(seed).cap_top_m for seed in range(200)])
    assert np.ptp(tops[:, 0]) > 0.25
    assert np.ptp(tops[:, 1]) > 0.35


@given(seed=st.integers(0, 2**31))
def test_the_start_is_near_home_with_the_gripper_open(seed) -> None:
    start = sample_start(seed)
    assert np.abs(start.joint_position_rad - PANDA_HOME_RAD).max() <= JOINT_SPREAD_RAD
    assert start.gripper_width_m > 0.02
