"""Health has hysteresis, goes by time and four signals, and only what is seen and tracked is visible."""

import numpy as np
import pytest

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.key_patches import key_patches_from_tracks
from glue_perception.track_health import TrackHealthConfig, TrackHealthMonitor
from glue_perception.types import KeyPatches, PointTracks, TrackHealth

CONFIG = TrackHealthConfig(recover_after_s=0.03, lose_after_s=0.1)
SEEN, HIDDEN, LOST = TrackHealth.TRACKED, TrackHealth.OCCLUDED, TrackHealth.LOST
MS = 1_000_000
FRAME_MS = 33.4


def tracks(visible=True, confidence=1.0, xy=(50.0, 50.0), ms=0.0, **signals) -> PointTracks:
    more = {name: np.array([value]) for name, value in signals.items()}
    return PointTracks(round(ms * MS), np.array([xy]), np.array([visible]), np.array([confidence]), **more)


def states(sequence, period_ms=FRAME_MS, config=CONFIG) -> list[int]:
    """Health of one point after each of some answers, given one period after the other."""
    monitor = TrackHealthMonitor(config, 640, 480)
    return [
        int(monitor.update(tracks(**{"ms": k * period_ms, **answer}))[0]) for k, answer in enumerate(sequence)
    ]


def seen(*pattern) -> list[dict]:
    return [{"visible": bool(v)} for v in pattern]


def test_hidden_at_once_back_after_two_frames_lost_after_a_tenth_of_a_second() -> None:
    assert states(seen(1, 0, 1, 1, 1, 0, 0, 0, 0, 0)) == [
        SEEN,
        HIDDEN,
        HIDDEN,
        *[SEEN] * 2,
        *[HIDDEN] * 3,
        LOST,
        LOST,
    ]


@pytest.mark.parametrize("period_ms", [10.0, 20.0, 50.0, 90.0])
def test_times_not_frames(period_ms) -> None:
    """Whatever the rate, a point is lost at the first frame that comes lose_after_s after the first bad one."""
    got = states(seen(1, *[0] * 12), period_ms)
    assert got.index(LOST) == 1 + int(np.ceil(100.0 / period_ms))


def test_a_pause_of_the_camera_is_not_held_against_a_point() -> None:
    """Nothing was seen of it meanwhile: ten seconds without frames count as a quarter."""
    monitor = TrackHealthMonitor(TrackHealthConfig(), 640, 480)
    for ms, visible in ((0, True), (33, False), (10_000, False)):
        health = monitor.update(tracks(visible, ms=ms))
    assert health[0] == HIDDEN


@pytest.mark.parametrize(
    "answer",
    [
        {"confidence": 0.1},
        {"xy": (-5.0, 50.0)},
        {"xy": (350.0, 50.0)},
        {"round_trip_px": 4.0},
        {"first_similarity": 0.05},
    ],
)
def test_each_signal_hides(answer) -> None:
    assert states([{}, answer]) == [SEEN, HIDDEN]


def test_signals_within_their_limits_do_not_hide() -> None:
    fine = {"confidence": 0.4, "xy": (80.0, 50.0), "round_trip_px": 2.0, "first_similarity": 0.3}
    assert states([{}, fine]) == [SEEN, SEEN]


def test_more_motion_is_plausible_after_a_longer_time() -> None:
    jump = {"xy": (50.0 + 150.0, 50.0)}
    assert states([{}, jump], period_ms=FRAME_MS) == [SEEN, HIDDEN]
    assert states([{}, jump], period_ms=200.0) == [SEEN, SEEN]


def test_a_point_that_leaves_its_object_is_hidden() -> None:
    """Ten points move together, one stays with the background; of the small motion between frames nothing is said."""
    rng = np.random.default_rng(0)
    first = rng.uniform(100, 200, (11, 2))
    everything = np.ones(11, bool)
    monitor = TrackHealthMonitor(CONFIG, 640, 480, np.zeros(11, int))
    for k, shift in enumerate((0.0, 0.0, 60.0)):
        xy = first + np.array([shift, 0.0])
        xy[4] = first[4]
        health = monitor.update(PointTracks(round(k * FRAME_MS * MS), xy, everything, np.ones(11)))
    assert health[4] == HIDDEN
    assert (np.delete(health, 4) == SEEN).all()


@pytest.mark.parametrize("signal", ["visible", "confidence", "first_similarity", "round_trip_px", "xy"])
@pytest.mark.parametrize("seed", range(3))
def test_no_signal_makes_a_point_flicker(signal, seed) -> None:
    """A point flickers if it is tracked again more than twice within half a second. Five seconds of bad signals."""
    rng = np.random.default_rng(seed)
    noise = rng.random(150)
    answers = {
        "visible": [{"visible": bool(v < 0.8)} for v in noise],
        "confidence": [{"confidence": float(np.clip(0.35 + 0.2 * (v - 0.5), 0, 1))} for v in noise],
        "first_similarity": [{"first_similarity": float(0.04 + 0.2 * v)} for v in noise],
        "round_trip_px": [{"round_trip_px": float(2.0 + 1.5 * v)} for v in noise],
        "xy": [{"xy": (50.0 + (200.0 if v > 0.8 else 0.0), 50.0)} for v in noise],
    }[signal]
    health = np.array(states([{}, *answers], config=TrackHealthConfig()))
    times_s = np.flatnonzero((health[1:] == SEEN) & (health[:-1] != SEEN)) * FRAME_MS / 1e3
    assert (health != SEEN).any()
    for begin in times_s:
        assert np.count_nonzero((times_s >= begin) & (times_s < begin + 0.5)) <= 2


def test_noise_between_the_two_thresholds_changes_nothing() -> None:
    """What hides a tracked point is less than what a hidden one needs, so noise between them is not seen at all."""
    rng = np.random.default_rng(1)
    between = [{"confidence": float(v)} for v in rng.uniform(0.305, 0.345, 60)]
    assert set(states([{}, *between], config=TrackHealthConfig())) == {SEEN}
    assert set(states([{}, {"confidence": 0.1}, *between], config=TrackHealthConfig())[1:61]) <= {
        HIDDEN,
        LOST,
    }


def test_what_the_stream_hides_comes_back_after_two_frames_and_is_never_lost() -> None:
    monitor = TrackHealthMonitor(TrackHealthConfig(), 640, 480)
    monitor.update(tracks())
    for _ in range(300):
        assert monitor.hide().tolist() == [HIDDEN]
    assert [int(monitor.update(tracks(ms=10_000 + k * FRAME_MS))[0]) for k in range(2)] == [HIDDEN, SEEN]


def test_number_of_points_must_stay() -> None:
    monitor = TrackHealthMonitor(CONFIG, 640, 480)
    monitor.update(tracks())
    with pytest.raises(InvalidValueError, match="2 points after 1"):
        monitor.update(PointTracks(0, np.zeros((2, 2)), np.ones(2, bool), np.ones(2)))


@pytest.mark.parametrize(
    "values",
    [
        {"min_confidence": 2.0},
        {"min_first_similarity": -0.1},
        {"min_jump_share": 0.0},
        {"lose_after_s": 0.0},
        {"recover_after_s": 1.0},
        {"steady_after_s": 5.0},
    ],
)
def test_config_refuses(values) -> None:
    with pytest.raises(ConfigError):
        TrackHealthConfig(**values)


def test_key_patches() -> None:
    found = PointTracks(
        7,
        np.array([[0.0, 0.0], [639.0, 479.0], [320.0, 240.0], [-3.0, 240.0], [10.0, 10.0]]),
        np.array([True, True, False, True, True]),
        np.ones(5),
    )
    patches = key_patches_from_tracks(
        found, np.array([SEEN, SEEN, HIDDEN, SEEN, LOST]), np.array([0, 0, 1, 1, 1]), 640, 480
    )
    assert patches.row_col.tolist() == [[0, 0], [27, 27], [14, 14], [14, 0], [0, 0]]
    assert patches.visible.tolist() == [True, True, False, False, False]
    assert patches.stamp_ns == 7
    assert patches.tracked_share_by_query.tolist() == [1.0, 1 / 3]
    assert (patches.tracked_share_of(0), patches.tracked_share_of(5)) == (1.0, 0.0)


def test_no_key_patches_no_shares() -> None:
    none = np.zeros(0, int)
    empty = KeyPatches(0, np.zeros((0, 2), int), np.zeros((0, 2)), np.zeros(0, bool), none, none)
    assert empty.tracked_share_by_query.shape == (0,)
    assert empty.tracked_share_of(0) == 0.0
