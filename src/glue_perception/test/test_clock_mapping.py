"""Device stamps on the host's clock: what must hold for every frame, over jitter, drift, wraps, resets and hours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_perception.cameras.clock_mapping import MAX_DRIFT_PPM, WINDOW_NS, WRAP_NS, ClockMapping, StampGuard
from glue_perception.errors import InvalidValueError

MS = 1_000_000
HOST_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_333_333


class Stream:
    """Frames of a camera whose clock drifts: capture on the host's clock, the device's stamp, and the arrival."""

    def __init__(
        self, delays_ns, drift_ppm=0.0, boot_ns=12_345_678_901, period_ns=PERIOD_NS, wrap_ns=WRAP_NS
    ):
        delays = np.asarray(delays_ns, dtype=np.int64)
        passed = np.arange(len(delays), dtype=np.int64) * period_ns
        self.capture = HOST_NS + passed
        device = boot_ns + passed + np.round(passed * (drift_ppm * 1e-6)).astype(np.int64)
        self.device = device % wrap_ns
        # Frames of one connection arrive in their order: one that is held up holds up those behind it.
        self.arrival = np.maximum.accumulate(self.capture + delays)
        self.delay = self.arrival - self.capture

    def mapped(self, mapping):
        return np.array(
            [mapping.host_ns(int(d), int(a)) for d, a in zip(self.device, self.arrival, strict=True)]
        )


def usual_delays(count, rng, shortest_ms=8.0, spread_ms=6.0):
    """Gamma-distributed delays with a hold-up of 150 ms now and then."""
    delays = shortest_ms + rng.gamma(1.0, spread_ms, count)
    delays[rng.random(count) < 0.01] += 150.0
    return (delays * MS).astype(np.int64)


@settings(max_examples=60, deadline=None)
@given(
    delays_ms=st.lists(st.floats(0.0, 400.0), min_size=1, max_size=400),
    drift_ppm=st.floats(-150.0, 150.0),
    boot_s=st.floats(0.0, 4294.0),
    period_ns=st.sampled_from([4_000_000, 16_666_667, PERIOD_NS, 166_666_667]),
)
def test_the_promised_bounds_hold_for_every_frame(delays_ms, drift_ppm, boot_s, period_ns):
    stream = Stream(np.array(delays_ms) * MS, drift_ppm, round(boot_s * 1e9), period_ns)
    late = stream.mapped(ClockMapping()) - stream.capture
    assert np.all(late >= stream.delay.min() - 1)
    assert np.all(late <= stream.delay)
    for k in range(len(late)):
        age = stream.capture[k] - stream.capture[: k + 1]
        recent = stream.arrival[: k + 1] >= stream.arrival[k] - WINDOW_NS
        bound = (stream.delay[: k + 1] + 2e-6 * MAX_DRIFT_PPM * age * 1.001)[recent].min()
        assert late[k] <= bound + 2


@pytest.mark.parametrize("drift_ppm", [-150.0, -40.0, 0.0, 40.0, 150.0])
def test_three_hours_with_drift_and_wraps(drift_ppm):
    rng = np.random.default_rng(7)
    stream = Stream(usual_delays(324_000, rng), drift_ppm)
    mapping = ClockMapping()
    late_ms = (stream.mapped(mapping) - stream.capture) / MS
    assert mapping.wraps == 2
    assert mapping.resets == 0
    assert late_ms.min() >= 8.0 - 1e-3
    assert late_ms[300:].max() < 8.0 + 1.5, "the shortest delay, and what drift and waiting add"
    assert (stream.delay / MS).mean() > 14.0
    assert (stream.delay / MS).max() > 200.0


def test_a_reset_clock_starts_anew():
    rng = np.random.default_rng(1)
    stream = Stream(usual_delays(2000, rng), boot_ns=500_000_000_000)
    stream.device[1000:] -= stream.device[1000]
    mapping = ClockMapping()
    late_ms = (stream.mapped(mapping) - stream.capture) / MS
    assert mapping.resets == 1
    assert mapping.wraps == 0
    assert np.all(late_ms >= 8.0 - 1e-3)
    assert late_ms[1100:].max() < 15.0


@pytest.mark.parametrize("jump_ms", [40, 900, 20_000])
def test_a_clock_that_jumps_ahead_is_followed_at_once(jump_ms):
    stream = Stream(usual_delays(1500, np.random.default_rng(2)))
    stream.device[700:] += jump_ms * MS
    mapped = stream.mapped(ClockMapping())
    assert np.all(mapped <= stream.arrival)
    assert ((mapped - stream.capture)[710:] / MS).max() < 50.0


@pytest.mark.parametrize("step_ms", [30, 200, 5_000, 3_600_000])
def test_a_host_clock_set_forward_is_followed_within_the_window(step_ms):
    stream = Stream(usual_delays(2000, np.random.default_rng(3)))
    stream.capture[800:] += step_ms * MS
    stream.arrival[800:] += step_ms * MS
    late_ms = (stream.mapped(ClockMapping()) - stream.capture) / MS
    after = 800 + WINDOW_NS // PERIOD_NS + 2
    assert late_ms[after:].min() >= 8.0 - 1e-3
    assert late_ms[after:].max() < 15.0


def test_a_wrap_during_an_outage_is_a_wrap():
    mapping = ClockMapping()
    before = mapping.host_ns(WRAP_NS - 2_000_000_000, HOST_NS)
    after = mapping.host_ns(58_000_000_000, HOST_NS + 60_000_000_000)
    assert mapping.wraps == 1
    assert after - before == 60_000_000_000


def test_the_first_frame_is_stamped_at_its_arrival():
    assert ClockMapping().host_ns(77, HOST_NS) == HOST_NS


@pytest.mark.parametrize("values", [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_impossible_limits(values):
    with pytest.raises(InvalidValueError, match="must be positive"):
        ClockMapping(*values)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**8), 10**9)), min_size=1, max_size=60
    )
)
def test_stamps_always_increase_and_never_lie_in_the_future(steps):
    guard, arrival, last = StampGuard(), HOST_NS, -1
    highest = arrival
    for wanted, passed in steps:
        arrival += passed
        stamp = guard.admit(arrival + wanted, arrival)
        if stamp is None:
            assert arrival <= highest
            continue
        assert last < stamp <= arrival
        assert stamp == max(last + 1, min(arrival + wanted, arrival))
        last = stamp
        highest = max(highest, stamp)


def test_a_host_clock_set_back_must_catch_up():
    guard = StampGuard()
    assert guard.admit(HOST_NS, HOST_NS) == HOST_NS
    assert guard.admit(HOST_NS - 5, HOST_NS - 1) is None
    assert guard.admit(HOST_NS, HOST_NS) is None
    assert guard.admit(HOST_NS - 5, HOST_NS + 1) == HOST_NS + 1
