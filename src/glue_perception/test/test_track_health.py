"""Health has hysteresis, and only what is seen and tracked is visible."""

import numpy as np
import pytest

from glue_perception.errors import ConfigError, InvalidValueError
from glue_perception.key_patches import key_patches_from_tracks
from glue_perception.track_health import TrackHealthConfig, TrackHealthMonitor
from glue_perception.types import PointTracks, TrackHealth

CONFIG = TrackHealthConfig(frames_to_recover=2, frames_to_lose=4)
SEEN, HIDDEN, LOST = TrackHealth.TRACKED, TrackHealth.OCCLUDED, TrackHealth.LOST


def tracks(visible, confidence=1.0, xy=(50.0, 50.0), stamp_ns=0) -> PointTracks:
    return PointTracks(stamp_ns, np.array([xy]), np.array([visible]), np.array([confidence]))


def states(sequence) -> list[int]:
    monitor = TrackHealthMonitor(CONFIG, 640, 480)
    return [int(monitor.update(track)[0]) for track in sequence]


def test_hidden_at_once_back_after_two_lost_after_four() -> None:
    pattern = [True, False, True, True, False, False, False, False, False, True, True, True]
    assert states([tracks(v) for v in pattern]) == [
        SEEN,
        HIDDEN,
        HIDDEN,
        SEEN,
        HIDDEN,
        HIDDEN,
        HIDDEN,
        LOST,
        LOST,
        LOST,
        SEEN,
        SEEN,
    ]


def test_low_confidence_outside_and_jumps_do_not_count_as_seen() -> None:
    assert states([tracks(True), tracks(True, confidence=0.1)]) == [SEEN, HIDDEN]
    assert states([tracks(True), tracks(True, xy=(-5.0, 50.0))]) == [SEEN, HIDDEN]
    assert states([tracks(True), tracks(True, xy=(350.0, 50.0))]) == [SEEN, HIDDEN]
    assert states([tracks(True), tracks(True, xy=(80.0, 50.0))]) == [SEEN, SEEN]


def test_number_of_points_must_stay() -> None:
    monitor = TrackHealthMonitor(CONFIG, 640, 480)
    monitor.update(tracks(True))
    with pytest.raises(InvalidValueError, match="2 points after 1"):
        monitor.update(PointTracks(0, np.zeros((2, 2)), np.ones(2, bool), np.ones(2)))


@pytest.mark.parametrize("values", [{"min_confidence": 2.0}, {"max_jump_share": 0.0}, {"frames_to_lose": 0}])
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
