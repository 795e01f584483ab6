"""Overlays draw on copies, keep the size, and survive whatever positions come."""

import numpy as np
import pytest
from scenes import BLUE, RED, box, camera_frame, disc, table

from glue_perception import overlay
from glue_perception.pipeline import PerceptionConfig, build_pipeline
from glue_perception.track_statistics import TrackStatistics
from glue_perception.types import KeyPatches, TrackHealth

QUERIES = ["red button", "blue block"]


@pytest.fixture(scope="module")
def started():
    frame = camera_frame(disc(box(table(), 100, 300, 180, 370, BLUE), (330, 250), 12, RED))
    pipeline = build_pipeline(PerceptionConfig(), QUERIES)
    return frame, pipeline.start(frame), pipeline.key_patches


def test_pictures_are_changed_copies(started) -> None:
    frame, extraction, patches = started
    before = frame.rgb.copy()
    pictures = [
        overlay.draw_extraction(frame, extraction, patches),
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
    assert overlay.draw_tracking(frame, patches, ["a", "b"]).shape == image.shape
    path = np.array([[np.nan, 1.0], [1e12, 0.0], [3.0, 3.0]])
    assert overlay.draw_path(image, path).shape == image.shape
    assert overlay.draw_path(image, path[:1]).shape == image.shape
    assert overlay.draw_status(image, []).shape == image.shape


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
