"""What is measured from a bag is what was put into it."""

import numpy as np
import pytest

from glue_bringup.recording.following import following
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError
from glue_perception.geometry import make_transform
from glue_perception.types import ActionChunk, RobotState

MS = 1_000_000
T0 = 10**12


def at(t_s: float) -> np.ndarray:
    return make_transform(np.eye(3), np.array([0.4 + 0.1 * np.sin(2.0 * t_s), 0.05 * np.cos(3.0 * t_s), 0.3]))


def write(path, lag_s: float, offset_m: float, jitter_ms: float = 0.0, ticks: int = 300):
    rng = np.random.default_rng(0)
    with BagWriter(path, {}) as bag:
        for k in range(ticks):
            late_ns = round(jitter_ms * MS * rng.uniform(0.0, 1.0)) if k % 4 == 0 else 0
            stamp_ns = T0 + 10 * k * MS + late_ns
            bag.target(stamp_ns, at((stamp_ns - T0) / 1e9))
            if k % 3 == 0:
                pose = at(0.01 * k - lag_s)
                pose[2, 3] += offset_m
                bag.robot_state(RobotState(T0 + 10 * k * MS, np.zeros(7), np.zeros(7), pose, 0.04))
            if k % 10 == 0:
                sixd = np.array([[1.0, 0, 0, 0, 1.0, 0]])
                bag.chunk(ActionChunk(T0 + 10 * k * MS, 0.1, np.zeros((1, 3)), sixd, np.zeros(1)))
    return path


def test_rates_lag_and_error(tmp_path):
    found = following(write(tmp_path / "bag", lag_s=0.08, offset_m=0.002))
    assert found.chunk_rate_hz == pytest.approx(10.0)
    assert found.target_rate_hz == pytest.approx(100.0)
    assert (found.jitter_p95_ms, found.jitter_max_ms) == (0.0, 0.0)
    assert found.lag_ms == pytest.approx(80.0)
    assert found.settled_p95_mm == pytest.approx(2.0, abs=0.1)
    assert 5.0 < found.error_p50_mm < found.error_p95_mm < 25.0
    assert found.turn_p95_deg == pytest.approx(0.0, abs=1e-3)


def test_jitter_is_seen(tmp_path):
    found = following(write(tmp_path / "bag", lag_s=0.0, offset_m=0.0, jitter_ms=4.0))
    assert 2.0 < found.jitter_p95_ms <= found.jitter_max_ms <= 4.0


def test_too_short_an_episode_is_refused(tmp_path):
    with pytest.raises(BagError, match="holds too little: 9 targets"):
        following(write(tmp_path / "bag", 0.0, 0.0, ticks=9))
