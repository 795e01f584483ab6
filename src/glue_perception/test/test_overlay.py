"""Overlays draw on copies, keep the size, and survive whatever positions come."""

import itertools

import numpy as np
import pytest
from scenes import BLUE, RED, box, camera_frame, disc, table

from glue_perception import overlay
from glue_perception.overlay.labels import Label, draw_labels
from glue_perception.overlay.status import StatusStrip
from glue_perception.pipeline import PerceptionConfig, build_pipeline
from glue_perception.preflight import ObjectFinding, Preflight, Refusal, RefusalReason
from glue_perception.track_statistics import TrackStatistics
from glue_perception.types import Detection, KeyPatches, TrackHealth

QUERIES = ["red button", "blue block"]


@pytest.fixture(scope="module")
def started():
    frame = camera_frame(disc(box(table(), 100, 300, 180, 370, BLUE), (330, 250), 12, RED))
    pipeline = build_pipeline(PerceptionConfig(), QUERIES)
    found = pipeline.preflight(frame)
    pipeline.start(frame, found=found)
    return frame, found, pipeline.key_patches


def test_pictures_are_changed_copies(started) -> None:
    frame, found, patches = started
    before = frame.rgb.copy()
    pictures = [
        overlay.draw_preflight(frame, found),
        overlay.draw_tracking(frame, patches, QUERIES, ["0.0 s"]),
        overlay.draw_path(frame.rgb, np.array([[10.0, 10.0], [100.0, 200.0], [200.0, 220.0]])),
    ]
    for picture in pictures:
        assert picture.shape == frame.rgb.shape
        assert picture.dtype == np.uint8
        assert not np.array_equal(picture, before)
    assert np.array_equal(frame.rgb, before)


def test_points_are_drawn_where_they_are_in_the_colour_of_their_health() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    health = np.array([TrackHealth.TRACKED, TrackHealth.OCCLUDED, TrackHealth.LOST])
    drawn = overlay.draw_points(image, np.array([[100.0, 100], [200, 100], [300, 100]]), health)
    assert tuple(drawn[100, 100]) == overlay.HEALTH_COLORS[TrackHealth.TRACKED]
    assert drawn[100, 200].max() < 40, "an occluded point is a ring"
    assert drawn[95:106, 195:206].any()
    assert drawn[95:106, 295:306].any()
    assert not drawn[300:].any()


def test_masks_are_tinted_and_nothing_else() -> None:
    image = np.full((480, 640, 3), 100, np.uint8)
    mask = np.zeros((1, 480, 640), bool)
    mask[0, 100:150, 100:150] = True
    drawn = overlay.draw_masks(image, mask)
    assert (drawn[125, 125] != 100).any()
    assert (drawn[300, 300] == 100).all()


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (1280, 720), (45, 45)])
def test_any_size_and_any_position(size) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    xy = np.array([[-1e9, 5.0], [1e9, 1e9], [width / 2, height / 2]])
    cells = np.array([[0, 0], [27, 27], [14, 14]])
    patches = KeyPatches(
        0, cells, xy, np.array([False, False, True]), np.array([2, 1, 0]), np.array([0, 0, 1])
    )
    frame = camera_frame(image)
    found = Preflight(
        (ObjectFinding("a", (Detection("a", np.array([-9.0, 5, 1e9, 1e9]), 0.5),)), ObjectFinding("b")),
        (Refusal(RefusalReason.ABSENT, "nothing like it is in the image", (1,)),),
    )
    assert overlay.draw_preflight(frame, found).shape == image.shape
    assert overlay.draw_tracking(frame, patches, ["a", "b"]).shape == image.shape
    path = np.array([[np.nan, 1.0], [1e12, 0.0], [3.0, 3.0]])
    assert overlay.draw_path(image, path).shape == image.shape
    assert overlay.draw_path(image, path[:1]).shape == image.shape
    assert overlay.draw_status(image, []).shape == image.shape


def test_a_refused_picture_shows_the_rivals_and_the_reason_without_hiding_them() -> None:
    """The reason is at the top, unless an object is there."""
    for y, strip_rows in ((250, slice(0, 40)), (20, slice(440, 480))):
        frame = camera_frame(disc(disc(table(), (330, y), 14, RED), (130, y), 14, RED))
        found = build_pipeline(PerceptionConfig(), ["red button"]).preflight(frame)
        drawn = overlay.draw_preflight(frame, found)
        assert found.keypoints is None
        changed = np.abs(drawn.astype(int) - frame.rgb).max(axis=2)
        assert (changed[strip_rows, :200] > 40).mean() > 0.5, "the strip is dark"
        for rival in found.objects[0].candidates:
            x0, y0, x1, y1 = rival.box_xyxy_px.astype(int)
            assert np.median(changed[y0:y1, x0:x1]) < 20, "nothing but the grid lies on the object"
            assert changed[y1 : y1 + 6, x0:x1].max() > 60, "its frame"


def test_labels_cover_neither_objects_nor_each_other() -> None:
    rng = np.random.default_rng(3)
    image = np.zeros((540, 960, 3), np.uint8)
    for _ in range(20):
        corners = rng.integers(0, [800, 450], (5, 2))
        rects = [(int(x), int(y), int(x) + 40, int(y) + 30) for x, y in corners]
        labels = [Label("red button  0.75", rect, (255, 0, k + 1)) for k, rect in enumerate(rects)]
        drawn = draw_labels(image, labels, rects)
        tags = [(drawn[..., 2] == k + 1) & (drawn[..., 0] == 255) for k in range(5)]
        areas = [int(tag.sum()) for tag in tags]
        assert min(areas) > 0.7 * max(areas), "every tag is whole; what is missing is its own text"
        for rect, tag in itertools.product(rects, tags):
            assert tag[rect[1] : rect[3], rect[0] : rect[2]].sum() < 60, "at most a line to it"


def test_insets_stand_where_nothing_is_or_nowhere() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    source = np.full_like(image, 90)
    objects = np.array([[600.0, 440, 630, 470], [20, 440, 50, 470], [600, 10, 630, 40]])
    drawn, places = overlay.draw_insets(image, source, objects)
    assert len(places) == 3
    for (x0, y0, x1, y1), (a0, b0, a1, b1) in itertools.product(places, objects):
        assert x1 <= a0 or x0 >= a1 or y1 <= b0 or y0 >= b1
    for x0, y0, x1, y1 in places:
        assert (drawn[y0 + 8 : y1 - 8, x0 + 8 : x1 - 8] == 90).all()
    everywhere = [(0, 0, 640, 480)]
    drawn, places = overlay.draw_insets(image, source, objects, obstacles=everywhere)
    assert places == []
    assert not drawn.any()


def test_long_queries_and_many_lines_stay_in_the_picture() -> None:
    frame = camera_frame(disc(table(), (330, 250), 14, RED))
    query = "red button that is to the left of everything else on this table"
    found = build_pipeline(PerceptionConfig(), [query, "thing", "stuff", "gadget"]).preflight(frame)
    assert len(found.refusals) == 3
    assert overlay.draw_preflight(frame, found).shape == frame.rgb.shape
    strip = StatusStrip(frame.rgb, [refusal.message * 3 for refusal in found.refusals])
    assert strip.rect[3] < 240, "the strip never takes half of the picture"


def test_statistics_count_by_query(started) -> None:
    _, _, patches = started
    statistics = TrackStatistics(QUERIES)
    assert not statistics.shares().any()
    statistics.add(patches)
    hidden = KeyPatches(
        patches.stamp_ns,
        patches.row_col,
        patches.xy_px,
        np.zeros(len(patches), bool),
        np.where(patches.query_index == 0, TrackHealth.LOST, TrackHealth.TRACKED),
        patches.query_index,
    )
    statistics.add(hidden)
    shares = statistics.as_mapping()["shares_by_query"]
    assert shares["red button"] == {"tracked": 0.5, "occluded": 0.0, "lost": 0.5}
    assert shares["blue block"]["tracked"] == 1.0
    assert statistics.num_frames == 2
    assert "50.0%" in statistics.table()
