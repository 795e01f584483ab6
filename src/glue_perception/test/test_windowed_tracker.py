"""A network on windows as a tracker for every frame, on a scene whose truth is known."""

import threading
import weakref

import numpy as np
import pytest
import torch
from correlation_network import CorrelationNetwork

from glue_perception.errors import ConfigError, InvalidValueError, NotReadyError
from glue_perception.trackers.frame_history import FrameHistory, PastFrame
from glue_perception.trackers.window_network import WindowAnswer, WindowQueries
from glue_perception.trackers.windowed import WindowedTracker
from glue_perception.trackers.windowed_config import WindowedTrackerConfig
from glue_perception.types import CameraFrame, Keypoints, PointTracks

HEIGHT, WIDTH, SIDE = 96, 128, 40
PERIOD_NS = 33_333_333
INLINE = WindowedTrackerConfig(background=False)
BACKGROUND = WindowedTrackerConfig(background=True)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads for images of this size cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def smooth_noise(height, width, grain, seed):
    coarse = (
        np.random.default_rng(seed).integers(0, 256, (height // grain, width // grain, 3)).astype(np.float32)
    )
    image = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], (height, width), mode="bicubic", align_corners=False
    )
    return image[0].permute(1, 2, 0).clamp(0, 255).byte().numpy()


GROUND, SQUARE, OTHER = (
    smooth_noise(HEIGHT, WIDTH, 4, 1),
    smooth_noise(SIDE, SIDE, 4, 2),
    smooth_noise(SIDE, SIDE, 4, 3),
)


def corner(k):
    """The square's top-left pixel in frame k; it walks about and comes back."""
    return 30 + round(15 * np.sin(k / 12)), 25 + round(12 * np.sin(k / 17))


def frame(k, hidden=False, at=None, square=SQUARE):
    image = GROUND.copy()
    x, y = at or corner(k)
    if not hidden:
        image[y : y + SIDE, x : x + SIDE] = square
    image[0, 0, 0] = k % 256
    return CameraFrame(k * PERIOD_NS, "camera", image, np.eye(3))


OFFSETS = np.array([[12.0, 12], [28, 12], [12, 28], [28, 28], [20, 20]])


def truth(k):
    return np.array(corner(k)) + OFFSETS


def keypoints(k=0):
    n = len(OFFSETS)
    return Keypoints(truth(k), np.zeros(n, int), np.arange(n))


def run(tracker, count, begin=0, image=frame) -> list[PointTracks]:
    tracks = [tracker.start(image(begin), keypoints(begin))]
    return tracks + [tracker.update(image(k)) for k in range(begin + 1, begin + count)]


def error_px(track, k):
    return np.linalg.norm(track.xy_px - truth(k), axis=1)


class Gate:
    """A network that works only while its gate is open, and says when it has begun and ended."""

    def __init__(self, network):
        self.network, self.window_frames, self.step_frames = (
            network,
            network.window_frames,
            network.step_frames,
        )
        self.open, self.begun, self.ended = threading.Event(), threading.Event(), threading.Event()

    def begin(self, num_points):
        self.network.begin(num_points)

    def track(self, images, queries):
        self.begun.set()
        assert self.open.wait(30)
        try:
            return self.network.track(images, queries)
        finally:
            self.ended.set()

    def pass_one(self):
        """Let the network answer the window that it has been given, and wait until that is done."""
        assert self.begun.wait(30)
        self.begun.clear(), self.ended.clear(), self.open.set()
        assert self.ended.wait(30)
        self.open.clear()


@pytest.fixture
def gate():
    gate = Gate(CorrelationNetwork())
    yield gate
    gate.open.set()


def settle(tracker):
    """Wait until the thread has handed its outcome over."""
    tracker._runner._job.result(30)


def test_answers_every_frame_with_the_age_of_the_network() -> None:
    network = CorrelationNetwork()
    tracks = run(WindowedTracker(network, INLINE), 60)
    assert [t.stamp_ns for t in tracks] == [k * PERIOD_NS for k in range(60)]
    # The first window is frames 0..7; every later one comes 4 frames on.
    ages = [k if k < 7 else (k - 7) % 4 for k in range(60)]
    assert [t.result_age_ns for t in tracks] == [age * PERIOD_NS for age in ages]
    for k, track in enumerate(tracks):
        assert track.visible.all()
        assert error_px(track, k).max() < 1.0
        assert track.confidence.min() > 0.5
    assert (tracks[14].confidence < tracks[11].confidence).all(), "what is carried is less certain"
    assert network.calls[:3] == [list(range(8)), list(range(4, 12)), list(range(8, 16))]
    assert network.begun == 1


def test_a_network_of_one_frame_answers_for_each() -> None:
    network = CorrelationNetwork(1, 1)
    tracks = run(WindowedTracker(network, INLINE), 20)
    assert {t.result_age_ns for t in tracks} == {0}
    assert network.calls == [[k] for k in range(20)]
    assert max(error_px(t, k).max() for k, t in enumerate(tracks)) < 1.0


def test_hidden_points_are_hidden_and_come_back() -> None:
    def image(k):
        return frame(k, hidden=20 <= k < 40, at=corner(0))

    tracks = run(WindowedTracker(CorrelationNetwork(), INLINE), 60, image=image)
    assert tracks[19].visible.all()
    assert not any(t.visible.any() for t in tracks[20:40])
    assert all((t.confidence[~t.visible] == 0).all() for t in tracks)
    assert all(t.visible.all() for t in tracks[45:])
    assert max(error_px(t, 0).max() for t in tracks[45:]) < 1.0


def test_same_frames_same_answer_bit_for_bit_and_start_forgets() -> None:
    fresh = run(WindowedTracker(CorrelationNetwork(), INLINE), 40)
    tracker = WindowedTracker(CorrelationNetwork(), INLINE)
    run(tracker, 33, begin=50)
    for a, b in zip(fresh, run(tracker, 40), strict=True):
        assert np.array_equal(a.xy_px, b.xy_px)
        assert np.array_equal(a.visible, b.visible)
        assert np.array_equal(a.confidence, b.confidence)
        assert a.result_age_ns == b.result_age_ns


def test_update_does_not_wait_for_the_network(gate) -> None:
    tracker = WindowedTracker(gate, BACKGROUND)
    tracks = run(tracker, 100)  # The gate is shut: had update waited, it would never have come here.
    assert gate.begun.is_set() and not gate.ended.is_set()
    assert [t.result_age_ns for t in tracks] == [k * PERIOD_NS for k in range(100)]
    assert max(error_px(t, k).max() for k, t in enumerate(tracks)) < 1.5
    assert tracks[-1].visible.all()
    gate.pass_one()
    settle(tracker)
    late = tracker.update(frame(100))
    assert late.result_age_ns == 93 * PERIOD_NS, "the window that was answered ended with frame 7"
    assert late.visible.all()
    assert error_px(late, 100).max() < 1.0


def test_a_slow_network_gets_evenly_spaced_frames_and_the_newest(gate) -> None:
    tracker = WindowedTracker(gate, BACKGROUND)
    run(tracker, 101)
    gate.pass_one()
    settle(tracker)
    tracker.update(frame(101))
    gate.pass_one()
    first, second = gate.network.calls
    assert first == list(range(8))
    assert second[:4] == first[4:], "windows overlap in the same frames"
    steps = np.diff(second[3:])
    assert second[-1] == 101
    assert steps.min() >= 20 and steps.max() <= 28, "94 frames in four steps"


def test_an_answer_that_comes_late_puts_a_lost_carry_right(gate) -> None:
    """Flow alone rides on another thing; the network's old answer is carried to the present frame."""
    tracker = WindowedTracker(gate, BACKGROUND)
    shown = keypoints()
    tracker.start(frame(0, at=(40, 30)), Keypoints(np.array([40, 30]) + OFFSETS, *shown_rest(shown)))
    for k in range(1, 8):
        track = tracker.update(frame(k, hidden=k == 3, at=(40, 30)))
    assert not track.visible.any(), "one blank frame ends the carry"
    gate.pass_one()
    settle(tracker)
    for k in range(8, 11):
        track = tracker.update(frame(k, at=(40 + 2 * (k - 7), 30)))
    assert track.visible.all()
    assert np.abs(track.xy_px - (np.array([46, 30]) + OFFSETS)).max() < 1.0


def shown_rest(points):
    return points.query_index, points.cluster_index


def test_start_does_not_wait_for_the_episode_before(gate) -> None:
    tracker = WindowedTracker(gate, BACKGROUND)
    run(tracker, 20)
    tracks = run(tracker, 20, begin=60)
    assert tracks[-1].visible.all()
    gate.pass_one()
    settle(tracker)
    track = tracker.update(frame(80))
    assert track.result_age_ns == 20 * PERIOD_NS, "the old episode's answer is not this one's"
    assert error_px(track, 80).max() < 1.0
    gate.pass_one()
    settle(tracker)
    track = tracker.update(frame(81))
    assert gate.network.calls[-1][0] == 60 and gate.network.calls[-1][-1] == 80
    assert track.result_age_ns == PERIOD_NS
    assert error_px(track, 81).max() < 1.0


class Failing(CorrelationNetwork):
    """Fails in some windows, by an exception or by NaN."""

    def __init__(self, how, windows):
        super().__init__()
        self.how, self.windows, self.count = how, windows, 0

    def track(self, images, queries):
        self.count += 1
        if self.count - 1 in self.windows:
            if self.how == "raises":
                raise RuntimeError("out of memory")
            if self.how == "one too few":
                n = len(self._xy) - 1
                return WindowAnswer(np.zeros((n, 2)), np.ones(n), np.ones(n))
            return WindowAnswer(
                np.full((len(self._xy), 2), np.nan), np.ones(len(self._xy)), np.ones(len(self._xy))
            )
        return super().track(images, queries)


@pytest.mark.parametrize("how", ["raises", "nan", "one too few"])
def test_a_failing_network_hides_the_points_until_it_answers_again(how) -> None:
    network = Failing(how, {2, 3})
    tracker = WindowedTracker(network, INLINE)
    tracks = run(tracker, 60)
    # Windows end with frames 7, 11, 15 (fails), and anew from 15: 22 (fails), from 22: 29.
    assert [k for k, t in enumerate(tracks) if not t.visible.any()] == list(range(15, 29))
    assert max(error_px(t, k).max() for k, t in enumerate(tracks)) < 1.5, "flow carries on"
    assert all(t.visible.all() for t in tracks[29:])
    assert tracks[28].result_age_ns == 17 * PERIOD_NS
    assert network.begun == 3
    assert {"raises": "out of memory", "nan": "NaN", "one too few": "4 points for 5"}[
        how
    ] in tracker.last_error
    assert run(tracker, 2)[-1].visible.all()
    assert tracker.last_error is None


def test_what_flow_lost_before_a_failure_stays_hidden_until_replaced() -> None:
    tracker = WindowedTracker(Failing("raises", {2}), INLINE)
    start = tracker.start(
        frame(0, at=(40, 30)), Keypoints(np.array([40, 30]) + OFFSETS, *shown_rest(keypoints()))
    )
    for k in range(1, 40):
        track = tracker.update(frame(k, hidden=k == 14, at=(40, 30)))
    assert not track.visible.any(), "nobody knows where they are"
    tracker.replace(frame(39, at=(40, 30)), np.array([1, 3]), start.xy_px[[1, 3]])
    for k in range(40, 50):
        track = tracker.update(frame(k, at=(40, 30)))
        assert track.visible.tolist() == [False, True, False, True, False]
        assert track.confidence[[1, 3]].min() > 0.5


def test_a_failure_in_the_background_is_no_exception_of_update(gate) -> None:
    gate.network = Failing("raises", {0})
    tracker = WindowedTracker(gate, BACKGROUND)
    assert run(tracker, 8)[-1].visible.all()
    gate.pass_one()
    settle(tracker)
    track = tracker.update(frame(8))
    assert not track.visible.any()
    assert "out of memory" in tracker.last_error
    assert error_px(track, 8).max() < 1.0


class Unsure(CorrelationNetwork):
    """Says nothing useful of a point in the very frame that it begins in."""

    def track(self, images, queries):
        answer = super().track(images, queries)
        new = queries.index[queries.frame_index == self.window_frames - 1]
        answer.xy_px[new], answer.visibility[new] = 0.0, 0.0
        return answer


def test_replace_moves_points_to_another_thing() -> None:
    def image(k):
        shown = frame(k, at=(10 + k // 4, 10)).rgb.copy()
        if k == 61:
            return CameraFrame(k * PERIOD_NS, "camera", GROUND.copy(), np.eye(3))
        shown[50 : 50 + SIDE, 80 - k // 4 : 80 - k // 4 + SIDE] = OTHER
        return CameraFrame(k * PERIOD_NS, "camera", shown, np.eye(3))

    network = Unsure()
    tracker = WindowedTracker(network, INLINE)
    tracker.start(image(0), Keypoints(np.array([10, 10]) + OFFSETS, *shown_rest(keypoints())))
    for k in range(1, 30):
        before = tracker.update(image(k))
    found = image(26)  # The detector's frame; three more have come since.
    places = np.array([80 - 26 // 4, 50]) + OFFSETS[[0, 4]]
    tracker.replace(found, np.array([0, 4]), places)
    for k in range(30, 60):
        track = tracker.update(image(k))
        assert track.visible.all()
        assert np.abs(track.xy_px[[0, 4]] - (np.array([80 - k // 4, 50]) + OFFSETS[[0, 4]])).max() < 1.5
        assert np.abs(track.xy_px[1:4] - (np.array([10 + k // 4, 10]) + OFFSETS[1:4])).max() < 1.5
    asked = [q for q in network.queries[1:] if len(q.index)]
    assert [q.index.tolist() for q in asked] == [[0, 4]], "told once, and only of those"
    assert network.begun == 1
    assert before.visible.all()
    tracker.update(image(60))
    assert not tracker.update(image(61)).visible.any()
    for k in range(62, 68):
        track = tracker.update(image(k))
    assert track.visible.all(), "the network follows the new ones too"
    assert np.abs(track.xy_px[[0, 4]] - (np.array([80 - 67 // 4, 50]) + OFFSETS[[0, 4]])).max() < 1.5


def test_a_hidden_point_that_is_replaced_is_seen_at_once() -> None:
    tracker = WindowedTracker(CorrelationNetwork(), INLINE)
    tracks = run(tracker, 28, image=lambda k: frame(k, hidden=k >= 20, at=corner(0)))
    assert not tracks[-1].visible.any()
    tracker.replace(frame(27, hidden=True), np.array([3]), np.array([[100.0, 70]]))
    for k in range(28, 40):
        track = tracker.update(frame(k, hidden=True))
        assert track.visible.tolist() == [False, False, False, True, False]
        assert track.confidence[3] > 0.5


def test_replace_before_the_first_window_and_while_one_is_worked_on(gate) -> None:
    tracker = WindowedTracker(gate, BACKGROUND)
    still = [frame(k, at=(40, 30)) for k in range(30)]
    start = tracker.start(still[0], Keypoints(np.array([40, 30]) + OFFSETS, *shown_rest(keypoints())))
    tracker.update(still[1])
    tracker.replace(still[0], np.array([2]), start.xy_px[[2]] + 3.0)
    for k in range(2, 10):
        tracker.update(still[k])
    tracker.replace(still[9], np.array([1]), start.xy_px[[1]] - 3.0)
    gate.pass_one()
    settle(tracker)
    track = tracker.update(still[10])
    expected = start.xy_px.copy()
    expected[2] += 3.0
    expected[1] -= 3.0
    assert np.abs(track.xy_px - expected).max() < 1.0, "the answer for point 1 was about its old place"
    first = gate.network.queries[0]
    assert dict(zip(first.index.tolist(), first.frame_index.tolist(), strict=True)) == {
        0: 0,
        1: 0,
        2: 7,
        3: 0,
        4: 0,
    }
    tracker.update(still[11])
    gate.pass_one()
    assert gate.network.queries[1].index.tolist() == [1]
    settle(tracker)
    assert np.abs(tracker.update(still[12]).xy_px - expected).max() < 1.0


def test_replaced_points_that_flow_cannot_carry_on_stay_hidden() -> None:
    tracker = WindowedTracker(CorrelationNetwork(), INLINE)
    run(tracker, 10)
    tracker.replace(frame(8, at=(80, 50)), np.array([0, 1]), np.array([80, 50]) + OFFSETS[:2])
    for k in range(10, 30):
        track = tracker.update(frame(k))
        assert track.visible.tolist() == [False, False, True, True, True], (
            "the network still follows the old ones"
        )
    tracker.replace(frame(29), np.array([0]), truth(29)[:1])
    for k in range(30, 50):
        track = tracker.update(frame(k))
    assert track.visible.tolist() == [True, False, True, True, True]
    assert error_px(track, 49)[[0, 2, 3, 4]].max() < 1.0


def test_replace_refuses() -> None:
    tracker = WindowedTracker(CorrelationNetwork(), INLINE)
    with pytest.raises(NotReadyError, match="call start"):
        tracker.replace(frame(0), np.array([0]), np.zeros((1, 2)))
    run(tracker, 3)
    for index, xy, image, says in [
        ([5], [[1.0, 1]], frame(2), r"0\.\.4"),
        ([1, 1], [[1.0, 1], [2, 2]], frame(2), "at most once"),
        ([1], [[1.0, 1], [2, 2]], frame(2), "shapes"),
        ([1], [[200.0, 1]], frame(2), "outside the image"),
        ([1], [[1.0, 1]], frame(3), "update first"),
    ]:
        with pytest.raises(InvalidValueError, match=says):
            tracker.replace(image, np.array(index), np.array(xy))
    assert tracker.update(frame(3)).visible.all()


def test_memory_does_not_grow_over_ten_thousand_frames() -> None:
    class Quick:
        window_frames, step_frames = 16, 8

        def begin(self, num_points):
            self.n = num_points

        def track(self, images, queries: WindowQueries) -> WindowAnswer:
            return WindowAnswer(np.full((self.n, 2), 9.0), np.zeros(self.n), np.ones(self.n))

    alive, counts = weakref.WeakSet(), []

    def blank(k):
        image = CameraFrame(k, "c", np.zeros((24, 32, 3), np.uint8), np.eye(3))
        alive.add(image)
        return image

    tracker = WindowedTracker(Quick(), INLINE)
    tracker.start(blank(0), Keypoints(np.ones((2, 2)), np.zeros(2, int), np.arange(2)))
    for k in range(1, 10_000):
        tracker.update(blank(k))
        counts.append(len(alive))
    assert max(counts) <= 16 + 9
    assert counts[-1] == counts[-9], "the same in every step of 8 frames"


def test_history_is_thinned_evenly() -> None:
    past = [PastFrame(frame(k)) for k in range(1000)]
    history = FrameHistory(past[0], 32)
    for item in past[1:]:
        history.append(item)
        assert len(history) <= 32
        assert history.frames[0] is past[0] and history.newest is item
    stamps = [f.stamp_ns // PERIOD_NS for f in history.frames]
    assert len(set(np.diff(stamps[:-1]))) == 1
    assert len(history) >= 16
    history.cut(history.newest)
    assert history.frames == (past[-1],)


def test_refuses() -> None:
    tracker = WindowedTracker(CorrelationNetwork(), INLINE)
    with pytest.raises(NotReadyError, match="call start"):
        tracker.update(frame(0))
    with pytest.raises(InvalidValueError, match="outside the image of 128 x 96 px"):
        tracker.start(frame(0), Keypoints(np.array([[300.0, 5]]), np.zeros(1, int), np.zeros(1, int)))
    run(tracker, 2)
    with pytest.raises(InvalidValueError, match=r"64 x 96 px.*128 x 96 px"):
        tracker.update(CameraFrame(10**12, "c", GROUND[:, :64].copy(), np.eye(3)))
    for values in ({"min_visible_score": 1.0}, {"max_round_trip_px": 0.0}, {"max_correction_px": -1.0}):
        with pytest.raises(ConfigError):
            WindowedTrackerConfig(**values)
