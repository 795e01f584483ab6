"""Colour and given boxes: finds what the query names, refuses what it cannot decide."""

import re

import numpy as np
import pytest
from scenes import BLUE, GREEN, RED, WHITE, YELLOW, box, disc, shadow, table

from glue_perception.detectors.base import ScoreLimits
from glue_perception.detectors.color import ColorDetector, ColorDetectorConfig
from glue_perception.detectors.color_words import REGIONS, color_of
from glue_perception.detectors.given import GivenBoxDetector
from glue_perception.errors import ConfigError, QueryError
from glue_perception.preflight import RefusalReason


def best(image, query):
    """The colour detector's best candidate for one query."""
    (candidates,) = ColorDetector().propose(image, [query])
    assert candidates == sorted(candidates, key=lambda c: -c.score)
    return candidates[0]


def overlap(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@pytest.mark.parametrize(
    ("query", "paint"),
    [
        ("red button", RED),
        ("the BLUE block", BLUE),
        ("yellow mango", YELLOW),
        ("green cup", GREEN),
        ("orange ball", (240, 140, 20)),
        ("purple toy", (120, 30, 140)),
        ("pink eraser", (250, 150, 180)),
        ("light blue towel", (70, 160, 225)),
        ("dark red cap", (70, 10, 15)),
        ("turquoise mug", (20, 160, 160)),
        ("black box", (12, 12, 14)),
    ],
)
def test_finds_each_colour_on_a_wooden_table(query, paint) -> None:
    image = box(table(), 300, 200, 340, 236, paint)
    found = best(image, query)
    assert found.query == query
    assert overlap(found.box_xyxy_px, (300, 200, 340, 236)) > 0.8
    assert found.score > 0.5


def test_finds_a_small_button_beside_marks_on_a_white_robot() -> None:
    image = box(table(), 80, 0, 200, 200, WHITE)
    image = box(box(image, 100, 40, 108, 44, RED), 120, 40, 128, 44, BLUE)
    image = disc(image, (400, 300), 14, RED)
    found = best(image, "red button")
    assert overlap(found.box_xyxy_px, (386, 286, 415, 315)) > 0.7


@pytest.mark.parametrize("at", [300, 380, 400, 430])
def test_finds_it_under_a_moving_shadow(at) -> None:
    image = shadow(disc(table(), (400, 300), 15, RED), at, depth=0.6)
    found = best(image, "red button")
    assert overlap(found.box_xyxy_px, (385, 285, 416, 316)) > 0.6


def test_takes_in_the_other_coloured_side_of_an_object() -> None:
    image = box(box(table(), 300, 200, 330, 240, YELLOW), 330, 200, 350, 240, (225, 110, 20))
    found = best(image, "yellow mango")
    assert overlap(found.box_xyxy_px, (300, 200, 350, 240)) > 0.9


def test_keeps_the_order_of_the_queries() -> None:
    image = box(box(table(), 100, 100, 140, 140, BLUE), 300, 300, 330, 330, RED)
    detections = [candidates[0] for candidates in ColorDetector().propose(image, ["red thing", "blue thing"])]
    assert [d.query for d in detections] == ["red thing", "blue thing"]
    assert detections[0].box_xyxy_px[0] > detections[1].box_xyxy_px[0]


@pytest.mark.parametrize(
    ("queries", "says"),
    [
        ([], "no queries"),
        (["  "], "empty"),
        (["button"], "no colour word.*blue.*red"),
        (["rad button"], "did you mean 'red'"),
        (["red button on the blue box"], "red and blue"),
    ],
)
def test_refuses_queries_that_it_cannot_read(queries, says) -> None:
    image = disc(table(), (400, 300), 15, RED)
    with pytest.raises(QueryError, match=says):
        ColorDetector().propose(image, queries)


@pytest.mark.parametrize(
    ("image", "query", "says"),
    [
        (disc(table(), (400, 300), 15, RED), "purple thing", "nothing purple"),
        (
            box(table(), 0, 0, 640, 240, RED),
            "red button",
            "red area covers 50%.*more than max_area_share 25%",
        ),
        (box(table(), 300, 200, 304, 203, RED), "red button", "nothing red of at least 31 px"),
    ],
)
def test_proposes_nothing_and_says_why(image, query, says) -> None:
    detector = ColorDetector()
    assert detector.propose(image, [query]) == [[]]
    assert re.search(says, detector.hint(RefusalReason.ABSENT, image, query))


def test_proposes_both_of_two_alike() -> None:
    image = disc(disc(table(), (200, 300), 15, RED), (400, 300), 15, RED)
    (candidates,) = ColorDetector().propose(image, ["crimson button"])
    assert sorted(c.box_xyxy_px[0] for c in candidates) == [185, 385]
    assert candidates[0].score == pytest.approx(candidates[1].score, rel=0.05)
    assert "both are red" in ColorDetector().hint(RefusalReason.AMBIGUOUS, image, "crimson button")


@pytest.mark.parametrize(
    "values",
    [{"min_area_share": 0.0}, {"min_area_share": 0.5}, {"hue_margin_deg": 180.0}, {"min_core_share": 0.0}],
)
def test_config_refuses(values) -> None:
    with pytest.raises(ConfigError):
        ColorDetectorConfig(**values)


@pytest.mark.parametrize("limits", [(-0.1, 0.5), (1.1, 0.5), (0.2, 0.0), (0.2, 1.5), (np.nan, 0.5)])
def test_score_limits_refuse(limits) -> None:
    with pytest.raises(ConfigError, match="min_score"):
        ScoreLimits(*limits)


def test_colour_words() -> None:
    assert color_of("Crimson  button!") == "red"
    assert color_of("a grey box") == "gray"
    for word in REGIONS:
        assert color_of(f"{word} thing") == word


def test_given_boxes() -> None:
    detector = GivenBoxDetector({"mug": (600, 10, 700, 60), "far": (700, 10, 800, 60)})
    (found,), none = detector.propose(table(), ["mug", "far"])
    assert found.box_xyxy_px.tolist() == [600, 10, 640, 60]
    assert found.score == 1.0
    assert none == []
    assert "outside the image of 640 x 480" in detector.hint(RefusalReason.ABSENT, table(), "far")
    with pytest.raises(QueryError, match="Did you mean 'mug'"):
        detector.propose(table(), ["mugs"])
    with pytest.raises(QueryError, match="no queries"):
        detector.propose(table(), [])


@pytest.mark.parametrize("boxes", [{}, {"a": (5, 5, 5, 9)}, {"a": (1, 2, 3)}, {"a": (0, 0, np.nan, 5)}])
def test_given_boxes_refuse(boxes) -> None:
    with pytest.raises(ConfigError):
        GivenBoxDetector(boxes)
