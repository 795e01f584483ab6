"""Lucas-Kanade on scenes whose truth is known: motion, occlusion, shadow, bad input."""

import numpy as np
import pytest
from scenes import BLUE, RED, arm, camera_frame, disc, shadow, table

from glue_perception.errors import ConfigError, InvalidValueError, NotReadyError
from glue_perception.trackers.lucas_kanade import LucasKanadeTracker
from glue_perception.trackers.lucas_kanade_config import LucasKanadeConfig
from glue_perception.trackers.object_motion import fit_motion
from glue_perception.types import CameraFrame, Keypoints

TABLE = table()
BUTTON = (330.0, 250.0)


def points_on_disc(center, radius, count=15, query=0) -> Keypoints:
    """A sunflower pattern of points inside a disc."""
    k = np.arange(count)
    r, angle = 0.75 * radius * np.sqrt((k + 0.5) / count), k * 2.399963
    xy = np.stack([center[0] + r * np.cos(angle), center[1] + r * np.sin(angle)], axis=1)
    return Keypoints(xy, np.full(count, query), k)


def scene(center=BUTTON, radius=18.0, color=RED) -> np.ndarray:
    return disc(TABLE, center, radius, color)


def run(images, keypoints):
    tracker = LucasKanadeTracker()
    return [tracker.start(camera_frame(images[0]), keypoints)] + [
        tracker.update(camera_frame(image, k)) for k, image in enumerate(images[1:], 1)
    ]


def test_a_still_scene_stands_still() -> None:
    keypoints = points_on_disc(BUTTON, 18)
    rng = np.random.default_rng(0)
    noisy = [np.clip(scene() + rng.normal(0, 3, (480, 640, 3)), 0, 255).astype(np.uint8) for _ in range(30)]
    last = run(noisy, keypoints)[-1]
    assert last.visible.all()
    assert np.abs(last.xy_px - keypoints.xy_px).max() < 0.5


def test_follows_a_moving_disc() -> None:
    keypoints = points_on_disc(BUTTON, 18)
    path = [(BUTTON[0] + 3.3 * k, BUTTON[1] - 1.7 * k) for k in range(40)]
    tracks = run([scene(c) for c in path], keypoints)
    for track, center in zip(tracks, path, strict=True):
        error = np.linalg.norm(track.xy_px - keypoints.xy_px - np.subtract(center, BUTTON), axis=1)
        assert track.visible.mean() >= 0.9
        assert error[track.visible].max() < 1.0


@pytest.mark.parametrize("speed_px", [4, 9, -6])
def test_an_arm_hides_the_points_and_they_come_back(speed_px) -> None:
    keypoints = points_on_disc(BUTTON, 18)
    start = 180 if speed_px > 0 else 400
    lefts = [start + speed_px * k for k in range(int(320 / abs(speed_px)))]
    tracks = run([scene()] + [arm(scene(), left) for left in lefts], keypoints)
    for track, left in zip(tracks[1:], lefts, strict=True):
        covered = (keypoints.xy_px[:, 0] > left + 3) & (keypoints.xy_px[:, 0] < left + 87)
        if covered.all():
            assert not track.visible.any(), f"points ride on the arm at {left}"
        error = np.linalg.norm(track.xy_px - keypoints.xy_px, axis=1)
        assert error.max() < 25.0, "a hidden point must stay near its place"
    assert tracks[-1].visible.all()
    assert np.abs(tracks[-1].xy_px - keypoints.xy_px).max() < 0.5


def test_a_moving_shadow_changes_nothing() -> None:
    keypoints = points_on_disc(BUTTON, 18)
    tracks = run([shadow(scene(), x) for x in range(0, 640, 10)], keypoints)
    assert np.mean([track.visible.mean() for track in tracks]) > 0.93
    assert max(np.abs(t.xy_px - keypoints.xy_px)[t.visible].max() for t in tracks) < 2.5


def test_one_object_hides_while_the_other_goes_on() -> None:
    other = (150.0, 400.0)
    red, blue = points_on_disc(BUTTON, 18, 8, 0), points_on_disc(other, 18, 7, 1)
    both = Keypoints(np.concatenate([red.xy_px, blue.xy_px]), np.repeat([0, 1], [8, 7]), np.arange(15))
    images = []
    for k in range(25):
        image = disc(scene(), (other[0] + 2 * k, other[1]), 18, BLUE)
        images.append(arm(image, 290) if k >= 10 else image)
    last = run(images, both)[-1]
    assert not last.visible[:8].any()
    assert last.visible[8:].all()
    assert np.abs(last.xy_px[8:, 0] - blue.xy_px[:, 0] - 48).max() < 1.0


def test_a_point_that_leaves_the_image_is_hidden_and_finite() -> None:
    keypoints = points_on_disc((610.0, 250.0), 18)
    tracks = run([scene((610 + 5 * k, 250)) for k in range(20)], keypoints)
    assert not tracks[-1].visible.any()
    assert np.isfinite(tracks[-1].xy_px).all()


@pytest.mark.parametrize("image", [np.zeros((480, 640, 3), np.uint8), np.full((480, 640, 3), 255, np.uint8)])
def test_a_blank_frame_hides_everything_and_does_no_harm(image) -> None:
    keypoints = points_on_disc(BUTTON, 18)
    tracks = run([scene()] * 3 + [image] * 5 + [scene()] * 3, keypoints)
    assert not tracks[5].visible.any()
    assert tracks[-1].visible.all()
    assert np.abs(tracks[-1].xy_px - keypoints.xy_px).max() < 0.5


def test_same_frames_same_answer_bit_for_bit() -> None:
    keypoints = points_on_disc(BUTTON, 18)
    images = [arm(scene((BUTTON[0] + k, BUTTON[1])), 150 + 9 * k) for k in range(30)]
    for a, b in zip(run(images, keypoints), run(images, keypoints), strict=True):
        assert np.array_equal(a.xy_px, b.xy_px)
        assert np.array_equal(a.visible, b.visible)
        assert np.array_equal(a.confidence, b.confidence)


def test_start_forgets_the_episode_before() -> None:
    tracker = LucasKanadeTracker()
    keypoints = points_on_disc(BUTTON, 18)
    tracker.start(camera_frame(scene((100, 100))), points_on_disc((100, 100), 18))
    tracker.update(camera_frame(arm(scene((100, 100)), 50), 1))
    tracker.start(camera_frame(scene()), keypoints)
    again = tracker.update(camera_frame(scene((333, 250)), 1))
    fresh = run([scene(), scene((333, 250))], keypoints)[-1]
    assert np.array_equal(again.xy_px, fresh.xy_px)
    assert np.array_equal(again.confidence, fresh.confidence)


def shifted(image: np.ndarray, dx: int, dy: int) -> np.ndarray:
    return np.roll(image, (dy, dx), axis=(0, 1))


def test_a_camera_that_drifts_takes_resting_points_along() -> None:
    keypoints = points_on_disc(BUTTON, 18)
    drift = [(0, 0)] + [(k // 4, -(k // 6)) for k in range(40)]
    tracks = run([shifted(scene(), *d) for d in drift], keypoints)
    for track, d in zip(tracks, drift, strict=True):
        assert track.visible.all()
        assert np.linalg.norm(track.xy_px - keypoints.xy_px - d, axis=1).max() < 2.0


def test_a_point_on_an_edge_does_not_slide_along_with_a_shadow() -> None:
    edge = TABLE.copy()
    edge[240:] = (60, 62, 66)
    keypoints = Keypoints(np.array([[320.0, 240.0]]), np.zeros(1, int), np.zeros(1, int))
    tracks = run([shadow(edge, x, 0.4) for x in range(150, 500, 6)], keypoints)
    assert max(np.abs(t.xy_px - keypoints.xy_px).max() for t in tracks) < 2.0


def test_a_corner_that_an_arm_covers_does_not_ride_on_the_arm() -> None:
    """Where an arm's dark edge crosses the table's edge, it looks like the table's corner."""
    image = TABLE.copy()
    image[:240], image[:, 320:] = (70, 72, 76), (60, 62, 66)
    keypoints = Keypoints(np.array([[320.0, 240.0]]), np.zeros(1, int), np.zeros(1, int))

    def covered(low: int) -> np.ndarray:
        drawn = image.copy()
        drawn[max(0, low - 60) : max(0, low)] = (22, 22, 24)
        return drawn

    lows = [*range(150, 300, 3), *[300] * 20]
    tracks = run([image, *[covered(low) for low in lows]], keypoints)
    for track, low in zip(tracks[1:], lows, strict=True):
        if 248 < low < 296:
            assert not track.visible.any(), f"the corner is called visible with the arm down to {low}"


def test_points_detected_again_in_an_older_frame_are_carried_to_now() -> None:
    keypoints = points_on_disc(BUTTON, 18, 8)
    tracker = LucasKanadeTracker()
    centers = [(BUTTON[0] + 2 * k, BUTTON[1]) for k in range(20)]
    tracker.start(camera_frame(scene(centers[0])), keypoints)
    for k in range(1, 10):
        tracker.update(camera_frame(scene(centers[k]), k))
    index = np.array([1, 4])
    new_xy = np.array([centers[5], (centers[5][0] + 6.0, centers[5][1] - 5.0)])
    tracker.replace(camera_frame(scene(centers[5]), 5), index, new_xy)
    for k in range(10, 20):
        track = tracker.update(camera_frame(scene(centers[k]), k))
    moved = np.subtract(centers[19], centers[5])
    assert track.visible.all()
    assert np.linalg.norm(track.xy_px[index] - new_xy - moved, axis=1).max() < 1.5
    others = np.setdiff1d(np.arange(8), index)
    step = np.subtract(centers[19], centers[0])
    assert np.linalg.norm(track.xy_px[others] - keypoints.xy_px[others] - step, axis=1).max() < 1.5


def test_replace_refuses_what_start_would() -> None:
    tracker = LucasKanadeTracker()
    with pytest.raises(NotReadyError, match="call start"):
        tracker.replace(camera_frame(scene()), np.array([0]), np.zeros((1, 2)))
    tracker.start(camera_frame(scene()), points_on_disc(BUTTON, 18))
    with pytest.raises(InvalidValueError, match="outside the image"):
        tracker.replace(camera_frame(scene()), np.array([0]), np.array([[900.0, 10.0]]))


def test_one_keypoint_is_enough() -> None:
    keypoints = Keypoints(np.array([[338.0, 250.0]]), np.zeros(1, int), np.zeros(1, int))
    last = run([scene((BUTTON[0] + 2 * k, BUTTON[1])) for k in range(10)], keypoints)[-1]
    assert last.visible.all()
    assert abs(last.xy_px[0, 0] - 356) < 1.0


def test_a_tiny_image_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (20, 24, 3), np.uint8)
    keypoints = Keypoints(np.array([[5.0, 5.0], [18.0, 15.0]]), np.zeros(2, int), np.arange(2))
    last = run([image] * 3, keypoints)[-1]
    assert np.abs(last.xy_px - keypoints.xy_px).max() < 0.5


def test_refuses() -> None:
    tracker = LucasKanadeTracker()
    with pytest.raises(NotReadyError, match="call start"):
        tracker.update(camera_frame(scene()))
    with pytest.raises(InvalidValueError, match="outside the image"):
        tracker.start(camera_frame(scene()), points_on_disc((700, 100), 18))
    with pytest.raises(NotReadyError):
        tracker.update(camera_frame(scene()))
    tracker.start(camera_frame(scene()), points_on_disc(BUTTON, 18))
    smaller = CameraFrame(9, "c", scene()[:240, :320].copy(), np.eye(3))
    with pytest.raises(InvalidValueError, match=r"320 x 240 px.*640 x 480"):
        tracker.update(smaller)


@pytest.mark.parametrize(
    "values",
    [
        {"window_px": 3.0},
        {"levels": 9},
        {"hide_similarity": 0.9},
        {"adaptation": 2.0},
        {"max_residual": 0.0},
        {"search_px": -1.0},
        {"narrow_window_px": 2.0},
        {"return_similarity": 0.5},
        {"context_similarity": 1.5},
        {"min_texture": float("nan")},
    ],
)
def test_config_refuses(values) -> None:
    with pytest.raises(ConfigError):
        LucasKanadeConfig(**values)


def test_common_motion_ignores_a_minority() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(0, 100, (15, 2))
    angle, shift = 0.05, np.array([6.0, -3.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    after = before @ turn.T + shift
    after[:4] += 25.0
    motion = fit_motion(before, after, 2.0)
    assert np.abs(motion.apply(before) - (before @ turn.T + shift)).max() < 0.05
