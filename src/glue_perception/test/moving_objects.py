"""A table with textured things that move and are covered, with noise, and the truth about where their points are."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from scenes import RED, WHITE, box, table

from glue_perception.perception_config import PerceptionConfig
from glue_perception.pipeline import PerceptionPipeline, build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.types import CameraFrame, KeyPatches

FRAME_NS = 33_333_333
WIDTH, HEIGHT = 320, 240
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
TABLE = table()[:HEIGHT, :WIDTH].copy()
QUERY = "red block"
HOME = (150.0, 110.0)
SIZE = 44


def block(
    image: np.ndarray, center: tuple[float, float], color: tuple[int, int, int] = RED, size: int = SIZE
) -> np.ndarray:
    """A painted block with a pattern of its own, placed to a fraction of a pixel; part of it may be outside."""
    rng = np.random.default_rng(7)
    light = cv2.GaussianBlur(rng.normal(0, 2.2, (size, size)).astype(np.float32), (0, 0), 2.5)
    paint = np.clip(np.array(color) * (1.0 + light[..., None]), 0, 255).astype(np.float32)
    shift = np.array([[1.0, 0, center[0] - size / 2], [0, 1.0, center[1] - size / 2]])
    height, width = image.shape[:2]
    cover = cv2.warpAffine(np.ones((size, size), np.float32), shift, (width, height))[..., None]
    drawn = cv2.warpAffine(paint, shift, (width, height))
    return (image * (1 - cover) + drawn * np.minimum(cover, 1)).round().astype(np.uint8)


def covering(image: np.ndarray, center: tuple[float, float]) -> np.ndarray:
    """A white arm with a dark stripe over all of a block."""
    x, y = int(center[0]), int(center[1]) + SIZE
    drawn = box(image, x - 40, 0, x + 40, y, WHITE)
    return box(drawn, x - 12, 0, x + 4, y - 6, (50, 50, 55))


def noisy(image: np.ndarray, index: int) -> np.ndarray:
    """What a sensor adds: no two frames are the same."""
    noise = np.random.default_rng(index).integers(-3, 4, image.shape, dtype=np.int16)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


class Scene:
    """Frames of one red block on a table.

    Args:
        path: Where the block's centre is in frame k, or None where it is not in the image.
        covered: In which frames an arm stands over it.
        others: More blocks: centre and colour.
    """

    def __init__(
        self,
        path: Callable[[int], tuple[float, float] | None] = lambda k: HOME,
        covered: Callable[[int], bool] = lambda k: False,
        others: Sequence[tuple[tuple[float, float], tuple[int, int, int]]] = (),
    ) -> None:
        self.path, self._covered, self._others = path, covered, others

    def frame(self, index: int) -> CameraFrame:
        image = TABLE
        for center, color in self._others:
            image = block(image, center, color)
        center = self.path(index)
        if center is not None:
            image = block(image, center)
            if self._covered(index):
                image = covering(image, center)
        return CameraFrame(index * FRAME_NS, "camera_color_optical_frame", noisy(image, index), K)

    def frames(self, first: int, stop: int) -> Iterator[CameraFrame]:
        return (self.frame(k) for k in range(first, stop))


def moving(k: int) -> tuple[float, float]:
    """Back and forth, 2 px per frame at most."""
    return (HOME[0] + 45.0 * float(np.sin(k / 30.0)), HOME[1] + 12.0 * float(np.sin(k / 17.0)))


def pipeline_for(
    queries: Sequence[str] = (QUERY,), mode: RedetectionMode = RedetectionMode.WAIT, **changes: object
) -> PerceptionPipeline:
    return build_pipeline(PerceptionConfig(num_keypoints=8 * len(queries), **changes), queries, mode)  # type: ignore[arg-type]


def error_px(
    patches: KeyPatches, first: KeyPatches, center: tuple[float, float], home: tuple[float, float]
) -> float:
    """Largest distance of a visible point from where its place on the block is now; 0 if none is visible."""
    truth = first.xy_px + np.subtract(center, home)
    return float(np.linalg.norm(patches.xy_px - truth, axis=1)[patches.visible].max(initial=0.0))
