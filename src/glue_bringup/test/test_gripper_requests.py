"""What of a trembling output reaches the hand, and the model of its travel."""

import numpy as np
import pytest

from glue_bringup.gripper.franky_gripper import FrankyGripperConfig
from glue_bringup.gripper.request_filter import RequestFilter
from glue_bringup.gripper.travel import Travel
from glue_perception.errors import ConfigError


def followed(requests: list[tuple[float, float]], until_s: float = 5.0) -> list[tuple[float, float]]:
    """Return (time, width) of what is carried out when asked every 10 ms."""
    requests_filter = RequestFilter(dead_band_m=0.005, hysteresis_m=0.01, debounce_s=0.1)
    waiting, taken = list(requests), []
    for step in range(int(until_s * 100)):
        now_s = step / 100
        while waiting and waiting[0][0] <= now_s:
            requests_filter.request(waiting.pop(0)[1], now_s)
        width_m = requests_filter.take(now_s)
        if width_m is not None:
            taken.append((now_s, width_m))
    return taken


def test_the_first_request_and_one_in_the_same_direction_are_followed_at_once():
    assert followed([(0.0, 0.06), (1.0, 0.04), (2.0, 0.01)]) == [(0.0, 0.06), (1.0, 0.04), (2.0, 0.01)]


def test_a_turn_waits_and_a_single_call_suffices():
    taken = followed([(0.0, 0.08), (1.0, 0.0), (2.0, 0.08)])
    assert [width for _, width in taken] == [0.08, 0.0, 0.08]
    assert taken[2][0] == pytest.approx(2.1, abs=0.011)


def test_trembling_moves_nothing():
    rng = np.random.default_rng(0)
    tremble = [(1.0 + 0.1 * k, 0.04 + float(rng.uniform(-0.0049, 0.0049))) for k in range(30)]
    assert followed([(0.0, 0.08), (0.5, 0.04), *tremble]) == [(0.0, 0.08), (0.5, 0.04)]


def test_an_output_on_the_edge_does_not_make_the_hand_clap():
    # Opens for 50 ms at a time, never as long as the debouncing asks for.
    flicker = [(1.0 + 0.05 * k, 0.08 if k % 2 else 0.0) for k in range(41)]
    assert followed([(0.0, 0.08), (0.5, 0.0), *flicker]) == [(0.0, 0.08), (0.5, 0.0)]


def test_a_turn_smaller_than_the_hysteresis_is_ignored():
    assert followed([(0.0, 0.08), (0.5, 0.02), (1.0, 0.028), (2.0, 0.031)])[-1][1] == 0.031
    assert len(followed([(0.0, 0.08), (0.5, 0.02), (1.0, 0.028)])) == 2


def test_travel_of_the_whole_stroke_takes_about_a_second():
    travel = Travel(from_m=0.08, to_m=0.0, begin_s=10.0, speed_m_s=0.1, dead_time_s=0.05)
    assert 0.7 < travel.arrival_s - travel.begin_s < 1.2
    assert travel.width_m(10.02) == 0.08
    assert travel.width_m(10.45) == pytest.approx(0.04)
    assert travel.width_m(travel.arrival_s) == pytest.approx(0.0)
    assert travel.width_m(20.0) == 0.0
    assert Travel(0.0, 0.03, 0.0, 0.1, 0.0).width_m(1.0) == 0.03


@pytest.mark.parametrize(
    "settings",
    [
        {"hysteresis_m": 0.001},
        {"grasp_width_m": 0.2},
        {"debounce_s": -0.1},
        {"speed_m_s": 0.01},
        {"max_width_m": 0.1},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        FrankyGripperConfig(**settings)
