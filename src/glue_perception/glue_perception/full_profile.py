"""Back-ends with pretrained weights, by name. Nothing heavy is imported, no weights needed, until one is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import import_networks
from glue_perception.weights.store import WeightsStore

if TYPE_CHECKING:
    from glue_perception.detectors.base import Detector
    from glue_perception.features.base import FeatureEncoder
    from glue_perception.perception_config import PerceptionConfig
    from glue_perception.segmenters.base import Segmenter


def _grounding_dino(config: PerceptionConfig) -> Detector:
    import_networks("detector grounding_dino")
    from glue_perception.detectors.grounding_dino import GroundingDinoDetector

    directory = WeightsStore().directory(config.grounding_dino.weights)
    return GroundingDinoDetector(directory, config.grounding_dino, _compute(config))


def _sam(config: PerceptionConfig) -> Segmenter:
    import_networks("segmenter sam")
    from glue_perception.segmenters.sam import SamSegmenter

    return SamSegmenter(WeightsStore().directory(config.sam.weights), config.sam, _compute(config))


def _clip(config: PerceptionConfig) -> FeatureEncoder:
    import_networks("features clip")
    from glue_perception.features.clip import clip_encoder

    return clip_encoder(WeightsStore().directory(config.clip.weights), config.clip, _compute(config))


def _dinov2(config: PerceptionConfig) -> FeatureEncoder:
    import_networks("features dinov2")
    from glue_perception.features.dinov2 import dinov2_encoder

    return dinov2_encoder(WeightsStore().directory(config.dinov2.weights), config.dinov2, _compute(config))


def _groundingdino_package(config: PerceptionConfig) -> Detector:
    import_networks("detector groundingdino_py")
    from glue_perception.detectors.groundingdino_package import (
        GroundingDinoPackageDetector,
        load_network_of_package,
    )

    store, limits = WeightsStore(), config.grounding_dino
    path = store.only_file(limits.package_weights)
    model = load_network_of_package(path, store.directory(limits.weights), _compute(config))
    return GroundingDinoPackageDetector(model, limits)


def _segment_anything_package(config: PerceptionConfig) -> Segmenter:
    import_networks("segmenter segment_anything")
    from glue_perception.segmenters.segment_anything_package import SegmentAnythingSegmenter, load_sam

    path = WeightsStore().only_file(config.sam.package_weights)
    return SegmentAnythingSegmenter(load_sam(path, _compute(config)), config.sam)


def _open_clip_package(config: PerceptionConfig) -> FeatureEncoder:
    import_networks("features open_clip")
    from glue_perception.features.open_clip_package import open_clip_encoder

    return open_clip_encoder(WeightsStore().directory(config.clip.weights), config.clip, _compute(config))


def _compute(config: PerceptionConfig) -> Compute:
    return Compute(config.device, config.precision)


DETECTORS: dict[str, Callable[[PerceptionConfig], Detector]] = {
    "grounding_dino": _grounding_dino,
    "groundingdino_py": _groundingdino_package,
}
SEGMENTERS: dict[str, Callable[[PerceptionConfig], Segmenter]] = {
    "sam": _sam,
    "segment_anything": _segment_anything_package,
}
FEATURES: dict[str, Callable[[PerceptionConfig], FeatureEncoder]] = {
    "clip": _clip,
    "dinov2": _dinov2,
    "open_clip": _open_clip_package,
}
