"""Choosing one candidate per query, and refusing in doubt; the detectors here are real."""

import numpy as np
import pytest
from scenes import BLUE, RED, WHITE, YELLOW, box, camera_frame, disc, table

from glue_perception.config import from_mapping
from glue_perception.detectors.base import ScoreLimits
from glue_perception.errors import ConfigError, QueryError
from glue_perception.mask_checks import refuse_mask, refuse_same_masks, warn_of_mask
from glue_perception.object_choice import (
    ObjectChoiceConfig,
    choose,
    refuse_queries,
    rivals_of,
    warn_of_close_call,
)
from glue_perception.pipeline import PerceptionConfig, build_pipeline
from glue_perception.preflight import Refusal, RefusalReason
from glue_perception.types import Detection

CONFIG, LIMITS = ObjectChoiceConfig(), ScoreLimits(0.2, 0.85)
AREA = 640 * 480


def detection(x0, y0, x1, y1, score=0.5, query="red button") -> Detection:
    return Detection(query, np.array([x0, y0, x1, y1], float), score)


def chosen(candidates, config=CONFIG, limits=LIMITS, hint="") -> Detection | Refusal:
    return choose(0, "red button", candidates, AREA, config, limits, lambda reason: hint)


def preflight_of(image, queries, **values):
    pipeline = build_pipeline(from_mapping(PerceptionConfig, values, "test"), queries)
    return pipeline, pipeline.preflight(camera_frame(image))


def test_takes_the_best_where_the_second_is_clearly_worse() -> None:
    best = detection(10, 10, 40, 40, 0.6)
    assert chosen([best, detection(100, 10, 140, 40, 0.5)]) is best
    refusal = chosen([best, detection(100, 10, 140, 40, 0.52)])
    assert refusal.reason is RefusalReason.AMBIGUOUS
    assert "[10, 10, 40, 40] (0.60)" in refusal.message
    assert "[100, 10, 140, 40] (0.52)" in refusal.message


def test_the_same_object_found_twice_is_no_rival() -> None:
    best = detection(100, 100, 200, 200, 0.6)
    assert chosen([best, detection(104, 98, 205, 199, 0.59)]) is best
    assert chosen([best, detection(150, 150, 199, 199, 0.59)]) is best, "a corner of the towel"


def test_two_alike_inside_a_box_around_both_are_ambiguous() -> None:
    both = detection(100, 100, 300, 150, 0.6)
    left, right = detection(100, 100, 150, 150, 0.58), detection(250, 100, 300, 150, 0.57)
    assert chosen([both, left, right]).reason is RefusalReason.AMBIGUOUS
    assert rivals_of([both, left, right], 0.85, 0.5) == (left, right)


def test_absent_and_weak() -> None:
    assert chosen([]).reason is RefusalReason.ABSENT
    assert "in view" in chosen([]).message
    weak = chosen([detection(10, 10, 40, 40, 0.15)])
    assert weak.reason is RefusalReason.LOW_SCORE
    assert "[10, 10, 40, 40]" in weak.message
    assert "0.15, less than 0.20" in weak.message
    assert chosen([], hint="ask for a mug").message == "query 'red button': ask for a mug"


def test_each_detector_brings_its_own_limits() -> None:
    weak = detection(10, 10, 40, 40, 0.15)
    assert chosen([weak], limits=ScoreLimits(0.1, 0.85)) is weak
    candidates = [detection(10, 10, 40, 40, 0.5), detection(100, 10, 140, 40, 0.49)]
    assert chosen(candidates, limits=ScoreLimits(0.2, 0.99)) is candidates[0]
    image = disc(disc(table(), (200, 300), 15, RED), (400, 300), 13, RED)
    _, found = preflight_of(image, ["red button"], color={"ambiguity_ratio": 1.0})
    assert found.ok
    _, found = preflight_of(image, ["red button"], color={"min_score": 0.99})
    assert found.refusals[0].reason is RefusalReason.LOW_SCORE


def test_warns_of_a_close_call() -> None:
    def warning(*candidates):
        return warn_of_close_call(0, "red button", candidates, CONFIG, LIMITS)

    best = detection(10, 10, 40, 40, 0.6)
    assert warning(best, detection(100, 10, 140, 40, 0.4)) is None
    assert (
        "nearly ambiguous, [10, 10, 40, 40] (0.60) and [100"
        in warning(best, detection(100, 10, 140, 40, 0.45)).message
    )
    assert "0.21 is hardly above the limit 0.20" in warning(detection(10, 10, 40, 40, 0.21)).message


def test_a_box_over_half_the_image_is_background() -> None:
    refusal = chosen([detection(0, 0, 640, 300, 0.9)])
    assert refusal.reason is RefusalReason.TOO_LARGE
    assert "62%" in refusal.message


@pytest.mark.parametrize(
    ("queries", "reason", "indices"),
    [
        ([], RefusalReason.NO_QUERIES, ()),
        (["red button", " \t"], RefusalReason.EMPTY_QUERY, (1,)),
        (["red button", "?"], RefusalReason.EMPTY_QUERY, (1,)),
        (["red button", "blue block", "The  red BUTTON."], RefusalReason.REPEATED_QUERY, (0, 2)),
    ],
)
def test_texts_alone(queries, reason, indices) -> None:
    (refusal,) = refuse_queries(queries)
    assert refusal.reason is reason
    assert refusal.query_indices == indices
    assert refuse_queries(["red button", "red block"]) == []


def test_masks_that_cannot_be_the_object() -> None:
    mask = np.zeros((480, 640), bool)
    assert refuse_mask(0, detection(100, 100, 200, 200), mask, CONFIG).reason is RefusalReason.NO_MASK
    mask[100:103, 100:104] = True
    assert refuse_mask(0, detection(90, 90, 120, 120), mask, CONFIG).reason is RefusalReason.POOR_MASK
    assert refuse_mask(0, detection(99, 99, 105, 105), mask, CONFIG).reason is RefusalReason.TOO_SMALL
    mask[100:110, 100:110] = True
    refusal = refuse_mask(0, detection(100, 100, 200, 200), mask, CONFIG)
    assert refusal.reason is RefusalReason.POOR_MASK
    assert "1.0% of its box" in refusal.message
    assert refuse_mask(0, detection(98, 98, 112, 112), mask, CONFIG) is None


def test_masks_of_two_queries() -> None:
    plate, mango = np.zeros((2, 480, 640), bool)
    plate[100:200, 100:200] = True
    mango[120:170, 120:170] = True
    assert refuse_same_masks(["plate", "mango"], [plate, mango], CONFIG) == []
    mango[100:190, 100:195] = True
    (refusal,) = refuse_same_masks(["plate", "mango"], [plate, mango], CONFIG)
    assert refusal.query_indices == (0, 1)
    assert refuse_same_masks(["plate", "mango"], [plate, None], CONFIG) == []


def test_warns_of_an_object_cut_by_the_border() -> None:
    mask = np.zeros((480, 640), bool)
    mask[440:480, 300:340] = True
    assert "bottom border" in warn_of_mask(0, "cup", mask, CONFIG).message
    mask[478:] = False
    assert warn_of_mask(0, "cup", mask, CONFIG) is None


@pytest.mark.parametrize(
    "values",
    [
        {"same_object_iou": 0.0},
        {"max_box_share": 1.5},
        {"min_mask_share": -1.0},
        {"min_mask_box_share": 1.0},
        {"max_query_mask_iou": 0.0},
        {"cut_off_share": 0.0},
    ],
)
def test_config_refuses(values) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        from_mapping(PerceptionConfig, {"choice": values}, "test.yaml")


@pytest.mark.parametrize(
    ("image", "queries", "reason", "says"),
    [
        (disc(table(), (400, 300), 15, RED), ["purple thing"], "absent", "'purple thing': nothing purple"),
        (disc(table(), (400, 300), 15, RED), ["button"], "not_understood", "no colour word"),
        (
            disc(disc(table(), (200, 300), 15, RED), (400, 300), 15, RED),
            ["red button"],
            "ambiguous",
            r"\[385, 285, 416, 316\].*\[185, 285, 216, 316\].*both are red",
        ),
        (disc(table(), (400, 300), 15, RED), ["red button", "crimson cap"], "same_object", "tell them apart"),
        (box(table(), 0, 0, 640, 240, RED), ["red button"], "absent", "more than max_area_share"),
    ],
)
def test_colours_are_refused_with_the_reason(image, queries, reason, says) -> None:
    pipeline, found = preflight_of(image, queries)
    assert found.refusals[0].reason == reason
    assert found.keypoints is None
    with pytest.raises(QueryError, match=says) as refused:
        pipeline.start(camera_frame(image))
    assert str(refused.value) == found.refusals[0].message


def test_ragged_colour_is_refused() -> None:
    image = table()
    for k in range(14):
        image = box(image, 40 + 40 * k, 100, 42 + 40 * k, 400, RED)
    _, found = preflight_of(box(image, 40, 100, 562, 102, RED), ["red button"])
    assert found.refusals[0].reason is RefusalReason.LOW_SCORE
    assert "ragged" in found.refusals[0].message
    assert found.objects[0].candidates


def test_a_refusal_hides_nothing_of_the_other_queries() -> None:
    image = box(disc(disc(table(), (200, 300), 15, RED), (400, 300), 15, RED), 40, 60, 90, 110, BLUE)
    _, found = preflight_of(image, ["red button", "blue block", "thing", "the blue block"])
    assert [r.reason for r in found.refusals] == ["repeated_query", "ambiguous", "not_understood"]
    red, blue, thing, again = found.objects
    assert red.chosen is None
    assert len(red.candidates) == 2
    assert blue.chosen is blue.candidates[0]
    assert blue.mask_area_px == pytest.approx(2500, rel=0.1)
    assert thing.candidates == again.candidates == ()
    assert not found.ok


def test_an_accepted_preflight_is_what_the_episode_starts_with() -> None:
    image = disc(box(table(), 100, 100, 200, 180, YELLOW), (400, 300), 15, RED)
    pipeline, found = preflight_of(image, ["red button", "yellow box"])
    assert found.ok
    extraction = pipeline.start(camera_frame(image))
    assert np.array_equal(found.keypoints.xy_px, extraction.keypoints.xy_px)
    assert found.num_keypoints_of(0) + found.num_keypoints_of(1) == 15
    assert 0.5 < found.objects[0].mask_box_share < 1.0
    assert found.objects[1].mask_image_share == pytest.approx(8000 / AREA, rel=0.1)


def test_a_mango_on_a_plate_is_legitimate_and_one_box_for_two_is_not() -> None:
    image = disc(box(table(), 200, 200, 340, 320, WHITE), (270, 260), 25, YELLOW)
    boxes = {"plate": [200, 200, 340, 320], "mango": [244, 234, 297, 287], "dish": [202, 200, 340, 322]}
    _, found = preflight_of(image, ["plate", "mango"], detector="given", given_boxes=boxes)
    assert found.ok, found.refusals
    _, found = preflight_of(image, ["plate", "dish"], detector="given", given_boxes=boxes)
    assert [r.reason for r in found.refusals] == ["same_object"], "boxes and masks, said once"


def test_fewer_pixels_than_keypoints_and_nothing_in_the_box() -> None:
    image = box(table(), 399, 299, 405, 305, RED)
    given = {"detector": "given", "given_boxes": {"red dot": [399, 299, 405, 305], "hole": [50, 50, 90, 90]}}
    _, found = preflight_of(image, ["red dot"], num_keypoints=40, **given)
    assert found.refusals[0].reason is RefusalReason.TOO_FEW_PIXELS
    assert "move the camera closer" in found.refusals[0].message
    _, found = preflight_of(np.full_like(image, 90), ["hole", "red dot"], **given)
    assert [r.reason for r in found.refusals] == ["no_mask", "no_mask"]
    assert found.objects[0].chosen is not None
