"""Bad input to the pipeline: one clear line that says what was found and what to do."""

import re

import numpy as np
import pytest
from scenes import RED, K, box, camera_frame, disc, table

from glue_perception.detectors.color import ColorDetector
from glue_perception.detectors.given import GivenBoxDetector
from glue_perception.errors import ConfigError, GlueError, InvalidValueError, QueryError
from glue_perception.features.lab_position import LabPositionEncoder
from glue_perception.keypoint_extractor import KeypointExtractor
from glue_perception.pipeline import PerceptionConfig, build_pipeline
from glue_perception.preflight import RefusalReason
from glue_perception.segmenters.grabcut import GrabCutSegmenter
from glue_perception.types import CameraFrame

IMAGE = disc(table(), (400, 300), 15, RED)


class SpeckSegmenter:
    """A segmenter whose masks have a given number of pixels, as a network's may."""

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels

    def segment(self, rgb, detections) -> np.ndarray:
        masks = np.zeros((len(detections), *rgb.shape[:2]), bool)
        for mask, detection in zip(masks, detections, strict=True):
            x0, y0, x1, y1 = detection.box_xyxy_px.astype(int)
            rows, cols = np.mgrid[y0:y1, x0:x1].reshape(2, -1)
            mask[rows[: self._pixels], cols[: self._pixels]] = True
        return masks


def one_line(error: GlueError, says: str) -> None:
    assert "\n" not in str(error)
    assert re.search(says, str(error)), str(error)


@pytest.mark.parametrize(
    ("queries", "says"),
    [
        ([""], "is empty; name an object"),
        (["red button", "   "], "is empty"),
        (["red button", "red button"], "ask for one object twice; ask once"),
        (["red button", "the scarlet thing"], "tell them apart.*one query per colour"),
        (["red blue thing"], "red and blue.*one query per object"),
        (["purple cup"], "nothing purple.*check that the object is in view"),
    ],
)
def test_queries(queries, says) -> None:
    pipeline = build_pipeline(PerceptionConfig(), queries)
    with pytest.raises(QueryError) as error:
        pipeline.start(camera_frame(IMAGE))
    one_line(error.value, says)


def test_no_queries() -> None:
    with pytest.raises(QueryError, match="name at least one object"):
        build_pipeline(PerceptionConfig(), [])
    extractor = KeypointExtractor(ColorDetector(), GrabCutSegmenter(), LabPositionEncoder())
    with pytest.raises(QueryError, match="name at least one object"):
        extractor.extract(camera_frame(IMAGE), [])


@pytest.mark.parametrize(
    ("pixels", "reason", "says"),
    [
        (0, RefusalReason.NO_MASK, "empty; give a tighter box"),
        (12, RefusalReason.TOO_SMALL, "12 px, less than min_mask_share.*closer"),
        (16, RefusalReason.TOO_FEW_PIXELS, "16 px cannot hold 20 keypoints.*lower num_keypoints"),
    ],
)
def test_masks_of_too_few_pixels(pixels, reason, says) -> None:
    detector = GivenBoxDetector({"dot": (390, 290, 394, 294)})
    extractor = KeypointExtractor(detector, SpeckSegmenter(pixels), LabPositionEncoder(), num_keypoints=20)
    found = extractor.preflight(camera_frame(IMAGE), ["dot"])
    assert [refusal.reason for refusal in found.refusals] == [reason]
    assert found.objects[0].mask_area_px == pixels
    with pytest.raises(QueryError) as error:
        extractor.extract(camera_frame(IMAGE), ["dot"])
    one_line(error.value, f"query 'dot': .*{says}")


def test_fewer_keypoints_than_the_objects_need() -> None:
    pipeline = build_pipeline(PerceptionConfig(num_keypoints=2), ["red button"])
    with pytest.raises(ConfigError) as error:
        pipeline.start(camera_frame(IMAGE))
    one_line(error.value, "set it to 3 or more")


@pytest.mark.parametrize(
    "rgb",
    [
        IMAGE[..., 0],
        IMAGE[..., :1],
        np.dstack([IMAGE, IMAGE[..., 0]]),
        IMAGE.astype(np.float32) / 255,
        np.moveaxis(IMAGE, 2, 0),
    ],
    ids=["grey", "one channel", "rgba", "float", "channels first"],
)
def test_images_that_are_not_rgb(rgb) -> None:
    with pytest.raises(InvalidValueError) as error:
        CameraFrame(0, "camera", rgb, K)
    one_line(error.value, r"rgb must be uint8\[height width 3\], but its (shape|dtype) is .*; give 8-bit RGB")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -600.0])
def test_intrinsics_that_are_no_camera(value) -> None:
    with pytest.raises(InvalidValueError) as error:
        CameraFrame(0, "camera", IMAGE, np.array([[value, 0, 320], [0, 600, 240], [0, 0, 1]]))
    one_line(error.value, "intrinsics .*; calibrate the camera")


def test_an_image_without_anything_in_it() -> None:
    for value in (0, 90, 255):
        pipeline = build_pipeline(PerceptionConfig(), ["red button"])
        with pytest.raises(QueryError, match="nothing red"):
            pipeline.start(camera_frame(np.full((480, 640, 3), value, np.uint8)))


def test_a_box_over_the_whole_image() -> None:
    config = PerceptionConfig(detector="given", given_boxes={"all": (0.0, 0.0, 640.0, 480.0)})
    with pytest.raises(QueryError) as error:
        build_pipeline(config, ["all"]).start(camera_frame(box(IMAGE, 0, 0, 9, 9, RED)))
    one_line(error.value, "covers 100% of the image, more than max_box_share 50%; move the camera back")
