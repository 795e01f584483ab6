"""Segmenter, features, clustering and the extractor that joins them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import BLUE, RED, box, camera_frame, disc, table

from glue_perception.clustering import nearest_to_centres, share_clusters
from glue_perception.detectors.color import ColorDetector
from glue_perception.detectors.given import GivenBoxDetector
from glue_perception.errors import ConfigError, QueryError
from glue_perception.features.lab_position import LabPositionEncoder
from glue_perception.keypoint_extractor import KeypointExtractor, eroded
from glue_perception.segmenters.grabcut import GrabCutSegmenter
from glue_perception.types import Detection


def detection(x0, y0, x1, y1, query="red button") -> Detection:
    return Detection(query, np.array([x0, y0, x1, y1], float), 1.0)


def extractor(num_keypoints=15, detector=None) -> KeypointExtractor:
    return KeypointExtractor(
        detector or ColorDetector(), GrabCutSegmenter(), LabPositionEncoder(), num_keypoints
    )


def test_grabcut_cuts_a_disc_out_of_its_box() -> None:
    image = disc(table(), (400, 300), 30, RED)
    y, x = np.mgrid[:480, :640]
    truth = np.hypot(x - 400, y - 300) <= 30
    (mask,) = GrabCutSegmenter().segment(image, [detection(368, 268, 433, 333)])
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_grabcut_is_the_same_whatever_the_random_state() -> None:
    image = disc(table(), (400, 300), 20, RED)
    masks = []
    for seed in (1, 2):
        cv2.setRNGSeed(seed)
        masks.append(GrabCutSegmenter().segment(image, [detection(378, 278, 423, 323)]))
    assert np.array_equal(*masks)


def test_grabcut_handles_boxes_at_the_border_and_over_everything() -> None:
    image = disc(table(), (0, 0), 40, RED)
    assert GrabCutSegmenter().segment(image, [detection(0, 0, 42, 42)])[0, :30, :20].mean() > 0.9
    assert GrabCutSegmenter().segment(image, [detection(0, 0, 640, 480)]).all()


def test_grabcut_refuses() -> None:
    with pytest.raises(QueryError, match="no detections"):
        GrabCutSegmenter().segment(table(), [])
    with pytest.raises(QueryError, match=r"'red button'.*outside"):
        GrabCutSegmenter().segment(table(), [detection(700, 500, 720, 520)])
    with pytest.raises(QueryError, match=r"'red button'.*stands out"):
        GrabCutSegmenter().segment(np.full((480, 640, 3), 90, np.uint8), [detection(300, 200, 320, 220)])


def test_features_follow_the_order_of_argwhere() -> None:
    image = box(table(), 0, 0, 10, 10, RED)
    mask = np.zeros((480, 640), bool)
    mask[5, 5] = mask[5, 300] = mask[200, 5] = True
    features = LabPositionEncoder(position_weight=1.0).encode(image, mask)
    assert features.shape == (3, 5)
    assert features[0, 1] > features[1, 1] + 0.5, "the first masked pixel is the red one"
    assert features[1, 3] > features[0, 3]
    assert features[2, 4] > features[0, 4]
    assert LabPositionEncoder().encode(image, np.zeros((480, 640), bool)).shape == (0, 5)
    with pytest.raises(ConfigError):
        LabPositionEncoder(-1.0)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=6), st.integers(1, 60))
def test_shares_add_up_and_nobody_gets_less_than_three(areas, num_clusters) -> None:
    if num_clusters < 3 * len(areas):
        with pytest.raises(ConfigError, match=str(3 * len(areas))):
            share_clusters(areas, num_clusters)
        return
    shares = share_clusters(areas, num_clusters)
    assert sum(shares) == num_clusters
    assert min(shares) >= 3
    # A larger mask never gets fewer.
    by_area = [share for _, share in sorted(zip(areas, shares, strict=True))]
    assert by_area == sorted(by_area)


def test_shares_refuse() -> None:
    with pytest.raises(QueryError, match="no objects"):
        share_clusters([], 15)
    with pytest.raises(QueryError, match="object 1 is empty"):
        share_clusters([50, 0], 15)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 300), st.integers(0, 5), st.booleans())
def test_exactly_as_many_different_pixels_as_clusters(num_clusters, extra, seed, same) -> None:
    pixels = num_clusters + extra
    # All features equal is the worst case: every centre is nearest to every pixel.
    features = np.zeros((pixels, 5)) if same else np.random.default_rng(seed).normal(size=(pixels, 5))
    chosen = nearest_to_centres(features.astype(np.float32), num_clusters, seed)
    assert len(set(chosen.tolist())) == num_clusters
    assert np.array_equal(chosen, nearest_to_centres(features.astype(np.float32), num_clusters, seed))


def test_too_few_pixels_are_refused() -> None:
    with pytest.raises(QueryError, match="4 px cannot hold 5"):
        nearest_to_centres(np.zeros((4, 5), np.float32), 5, 0)


def test_centres_are_nearest_to_the_blobs() -> None:
    rng = np.random.default_rng(0)
    blobs = np.repeat([[0.0, 0], [10, 0], [0, 10]], 50, axis=0) + rng.normal(0, 0.1, (150, 2))
    chosen = nearest_to_centres(blobs.astype(np.float32), 3, 0)
    assert sorted((chosen // 50).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("num_keypoints", [6, 10, 15, 20])
def test_extraction_gives_the_total_inside_the_masks(num_keypoints) -> None:
    image = disc(box(table(), 100, 100, 200, 180, BLUE), (400, 300), 15, RED)
    found = extractor(num_keypoints).extract(camera_frame(image), ["red button", "blue block"])
    assert len(found.keypoints) == num_keypoints
    counts = np.bincount(found.keypoints.query_index)
    assert counts.min() >= 3
    assert counts[1] >= counts[0]
    for xy, query in zip(found.keypoints.xy_px.astype(int), found.keypoints.query_index, strict=True):
        assert found.masks[query, xy[1], xy[0]]
    assert found.keypoints.cluster_index.tolist() == list(range(num_keypoints))


def test_extraction_is_deterministic_bit_for_bit() -> None:
    frame = camera_frame(disc(table(), (400, 300), 15, RED))
    runs = []
    for seed in (1, 2):
        cv2.setRNGSeed(seed)
        runs.append(extractor().extract(frame, ["red button"]).keypoints.xy_px)
    assert np.array_equal(*runs)


def test_extraction_refuses_objects_too_small_and_too_many() -> None:
    image = disc(table(), (400, 300), 15, RED)
    tiny = GivenBoxDetector({"red button": (399, 299, 402, 302)})
    with pytest.raises(QueryError, match=r"'red button'"):
        extractor(15, tiny).extract(camera_frame(box(table(), 399, 299, 402, 302, RED)), ["red button"])
    with pytest.raises(ConfigError, match="6 or more"):
        extractor(5).extract(camera_frame(box(image, 50, 50, 90, 90, BLUE)), ["red button", "blue block"])


def test_erosion_spares_small_masks_and_the_image_border() -> None:
    small = np.zeros((480, 640), bool)
    small[100:105, 100:105] = True
    assert np.array_equal(eroded(small, 15), small)
    large = np.zeros((480, 640), bool)
    large[0:60, 100:160] = True
    kept = eroded(large, 15)
    assert kept[0, 130]
    assert not kept[59, 130]
    assert kept.sum() >= 0.4 * large.sum()


@pytest.mark.parametrize("radius", [5.0, 6.0, 7.5, 12.0])
@pytest.mark.parametrize("light", [0.35, 0.7, 1.0])
def test_grabcut_cuts_out_a_small_button_in_any_light(radius, light) -> None:
    rng = np.random.default_rng(0)
    image = disc(table(), (330.0, 250.0), radius, (150, 30, 45)) * light + rng.normal(0, 3, (480, 640, 3))
    box = np.array([330 - radius, 250 - radius, 331 + radius, 251 + radius])
    (mask,) = GrabCutSegmenter().segment(
        np.clip(image, 0, 255).astype(np.uint8), [Detection("red button", box, 1.0)]
    )
    y, x = np.nonzero(mask)
    assert 0.6 * np.pi * radius**2 < mask.sum() < 1.5 * np.pi * radius**2
    assert abs(x.mean() - 330) < 2 and abs(y.mean() - 250) < 2
