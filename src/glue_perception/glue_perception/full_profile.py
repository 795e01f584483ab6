"""Back-ends with pretrained weights, by name. Nothing heavy is imported, and no weights are looked up, before one is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import import_networks
from glue_perception.weights.store import WeightsStore

if TYPE_CHECKING:
    from glue_perception.detectors.base import Detector
    from glue_perception.features.base import FeatureEncoder
    from glue_perception.pipeline import PerceptionConfig
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


def _compute(config: PerceptionConfig) -> Compute:
    return Compute(config.device, config.precision)


DETECTORS: dict[str, Callable[[PerceptionConfig], Detector]] = {"grounding_dino": _grounding_dino}
SEGMENTERS: dict[str, Callable[[PerceptionConfig], Segmenter]] = {"sam": _sam}
FEATURES: dict[str, Callable[[PerceptionConfig], FeatureEncoder]] = {"clip": _clip, "dinov2": _dinov2}
FULL = {"detector": "grounding_dino", "segmenter": "sam", "features": "clip", "tracker": "lucas_kanade"}
