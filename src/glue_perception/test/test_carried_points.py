"""Where hidden points are guessed to be: carried off with their surroundings, or left where they were."""

import cv2
import numpy as np
import pytest
from scenes import RED, box, camera_frame, table

from glue_perception.trackers.camera_motion import CameraMotion
from glue_perception.trackers.carried_points import CarriedPoints
from glue_perception.trackers.constellation import Constellation, Votes, agreed_place
from glue_perception.trackers.lucas_kanade import LucasKanadeTracker
from glue_perception.types import Keypoints

TABLE = table()
HOME = np.array([300.0, 260.0])
NO_VOTES = np.zeros((0, 2))


def moved(xy: np.ndarray, x: float, y: float) -> np.ndarray:
    return xy + np.array([x, y])


SIDE = 60


def thing(center, angle_rad=0.0, zoom=1.0) -> np.ndarray:
    """A spotted square on the table, turned about its centre."""
    rng = np.random.default_rng(3)
    spots = rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    light = 1.0 + 2.0 * cv2.GaussianBlur(spots, (0, 0), 3.0)
    paint = np.clip(np.array(RED) * light[..., None], 0, 255).astype(np.float32)
    linear = zoom * np.array(
        [[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]]
    )
    shift = np.asarray(center) - linear @ np.full(2, (SIDE - 1) / 2)
    pose = np.concatenate([linear, shift[:, None]], axis=1)
    height, width = TABLE.shape[:2]
    cover = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), pose, (width, height))[..., None]
    drawn = cv2.warpAffine(paint, pose, (width, height))
    return (TABLE * (1 - cover) + drawn).round().astype(np.uint8)


def gray(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def guesses(images, xy, objects, sureness) -> list[np.ndarray]:
    """Feed frames in which the tracker keeps every point at `xy` and is as sure of each as `sureness(k)` says."""
    grays = [gray(image) for image in images]
    camera = CameraMotion(grays[0])
    carried = CarriedPoints(grays[0], xy, objects, 1.0)
    result = []
    for k, image in enumerate(grays[1:], 1):
        camera.update(image)
        kept, sure = sureness(k)
        result.append(carried.update(image, kept, sure, camera))
    return result


def test_a_hidden_point_goes_where_its_surroundings_go() -> None:
    offset = np.array([20.0, 18.0])
    poses = [(moved(HOME, 1.5 * k, -1.0 * k), 0.003 * k, 1.0 + 0.002 * k) for k in range(50)]
    images = [thing(*pose) for pose in poses]
    xy = (HOME + offset)[None]
    got = guesses(images, xy, [np.array([0])], lambda k: (xy, np.zeros(1)))
    for guess, (center, angle, zoom) in zip(got, poses[1:], strict=True):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert np.linalg.norm(guess[0] - (center + zoom * turn @ offset)) < 5.0


def test_it_starts_from_the_frame_in_which_the_point_was_last_sure() -> None:
    """The tracker clings to the old place for some frames, ever less sure, before it gives up."""
    images = [thing(HOME)] * 5 + [thing(moved(HOME, 2.0 * k, 0.0)) for k in range(25)]
    xy = (moved(HOME, 20.0, 18.0))[None]

    def sureness(k):
        sure = 1.0 if k < 5 else 0.6 if k < 11 else 0.0
        return xy, np.array([sure])

    last = guesses(images, xy, [np.array([0])], sureness)[-1]
    assert np.linalg.norm(last[0] - (moved(xy[0], 48.0, 0.0))) < 3.0


def test_what_is_seen_is_left_alone_and_so_is_a_hidden_point_in_a_still_scene() -> None:
    images = [thing(HOME)] * 40
    xy = np.stack([HOME, moved(HOME, 20.0, 10.0)])
    for guess in guesses(images, xy, [np.arange(2)], lambda k: (xy, np.array([1.0, 0.0]))):
        np.testing.assert_array_equal(guess, xy)


def test_a_point_stays_while_most_of_its_object_rests() -> None:
    """A hand that passes takes along corners of its own, but the object's other points have not moved."""

    def image(k):
        return box(thing(HOME), 310 + 4 * k, 200, 350 + 4 * k, 300, (60, 60, 70)) if k else thing(HOME)

    xy = np.stack([moved(HOME, -22.0, d) for d in (-15.0, 0.0, 15.0)] + [moved(HOME, 22.0, 0.0)])
    sure = np.array([1.0, 1.0, 1.0, 0.0])
    for guess in guesses([image(k) for k in range(30)], xy, [np.arange(4)], lambda k: (xy, sure)):
        np.testing.assert_array_equal(guess, xy)


def test_guesses_stay_in_the_image_when_the_thing_leaves_it() -> None:
    images = [thing(moved(HOME, 0.0, 6.0 * k)) for k in range(60)]
    xy = (moved(HOME, 0.0, 20.0))[None]
    for guess in guesses(images, xy, [np.array([0])], lambda k: (xy, np.zeros(1))):
        assert np.all((guess >= 0) & (guess <= [639, 479]))


def test_a_point_under_a_hand_is_hidden_and_guessed_where_the_hand_takes_it() -> None:
    """The whole tracker: what covers the point also holds its object, and takes both away."""
    offset = np.array([22.0, 0.0])

    def image(center, hand):
        drawn = thing(center)
        x, y = np.rint(moved(center, 8.0, -hand)).astype(int)
        rows = np.random.default_rng(1).integers(90, 240, (8, 1, 1), dtype=np.uint8)
        if hand < 100:
            pads = np.repeat(np.repeat(np.tile(rows, (1, 4, 3)), 8, axis=0), 8, axis=1)
            pads[:, 8:16] //= 2
            top = max(0, y - 32)
            drawn[top : y + 32, x : x + 32] = pads[top - y + 32 :]
        return drawn

    path = [(HOME, max(5, 110 - 3 * k)) for k in range(45)] + [
        (moved(HOME, -1.5 * k, -1.0 * k), 5) for k in range(50)
    ]
    keypoints = Keypoints((HOME + offset)[None], np.zeros(1, int), np.zeros(1, int))
    tracker = LucasKanadeTracker()
    tracker.start(camera_frame(image(*path[0])), keypoints)
    errors = []
    for k, (center, hand) in enumerate(path[1:], 1):
        tracks = tracker.update(camera_frame(image(center, hand), k))
        if k >= 40:
            assert not tracks.visible[0], f"the point is called visible under the hand in frame {k}"
            errors.append(np.linalg.norm(tracks.xy_px[0] - (center + offset)))
    assert max(errors) < 8.0


def test_a_point_that_is_put_elsewhere_is_not_fetched_back() -> None:
    grays = [gray(thing(moved(HOME, 2.0 * k, 0.0))) for k in range(40)]
    xy, elsewhere = (moved(HOME, 20.0, 18.0))[None], np.array([[100.0, 100.0]])
    camera = CameraMotion(grays[0])
    carried = CarriedPoints(grays[0], xy, [np.array([0])], 1.0)
    for image in grays[1:20]:
        carried.update(image, xy, np.zeros(1), camera)
    carried.put(np.array([0]), elsewhere)
    for image in grays[20:]:
        np.testing.assert_array_equal(carried.update(image, elsewhere, np.zeros(1), camera), elsewhere)


def test_votes_that_do_not_agree_move_nothing() -> None:
    group = Constellation(np.array([50.0, 50.0]))
    rng = np.random.default_rng(0)
    model = group.origin + rng.uniform(-20, 20, (6, 2))
    scattered = model + np.array([[30.0, 0], [-30, 0], [0, 30], [0, -30], [60, 60], [-60, 60]])
    agreed_place(group, Votes(model, scattered, NO_VOTES, NO_VOTES), 1.0)
    assert not group.carried
    np.testing.assert_array_equal(group.place, group.origin)


@pytest.mark.parametrize("wrong", [0, 4])
def test_the_place_is_the_one_that_most_votes_agree_on(wrong) -> None:
    group = Constellation(np.array([50.0, 50.0]))
    rng = np.random.default_rng(1)
    model = group.origin + rng.uniform(-20, 20, (12, 2))
    xy = moved(model, 9.0, -4.0)
    xy[:wrong] += rng.uniform(10, 20, (wrong, 2))
    agreed_place(group, Votes(model, xy, NO_VOTES, NO_VOTES), 1.0)
    assert np.linalg.norm(group.place - [59.0, 46.0]) < 0.5
