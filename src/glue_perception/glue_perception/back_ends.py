"""What builds each back-end that `perception_config` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from glue_perception import full_profile
from glue_perception.detectors.base import Detector
from glue_perception.detectors.color import ColorDetector
from glue_perception.detectors.given import GivenBoxDetector
from glue_perception.features.base import FeatureEncoder
from glue_perception.features.lab_position import LabPositionEncoder
from glue_perception.keypoint_extractor import KeypointExtractor
from glue_perception.perception_config import PerceptionConfig
from glue_perception.segmenters.base import Segmenter
from glue_perception.segmenters.grabcut import GrabCutSegmenter
from glue_perception.trackers.base import PointTracker
from glue_perception.trackers.lucas_kanade import LucasKanadeTracker


def _cotracker3(config: PerceptionConfig) -> PointTracker:
    # Torch is loaded only where a network is asked for.
    from glue_perception.trackers.cotracker3 import build_cotracker3

    return build_cotracker3(config.cotracker3, config.device)


DETECTORS: dict[str, Callable[[PerceptionConfig], Detector]] = {
    "color": lambda config: ColorDetector(config.color),
    "given": lambda config: GivenBoxDetector(config.given_boxes),
    **full_profile.DETECTORS,
}
SEGMENTERS: dict[str, Callable[[PerceptionConfig], Segmenter]] = {
    "grabcut": lambda config: GrabCutSegmenter(),
    **full_profile.SEGMENTERS,
}
FEATURES: dict[str, Callable[[PerceptionConfig], FeatureEncoder]] = {
    "lab_position": lambda config: LabPositionEncoder(config.position_weight),
    **full_profile.FEATURES,
}
TRACKERS: dict[str, Callable[[PerceptionConfig], PointTracker]] = {
    "lucas_kanade": lambda config: LucasKanadeTracker(config.lucas_kanade),
    "cotracker3": _cotracker3,
}
BACK_ENDS: dict[str, Mapping[str, object]] = {
    "detector": DETECTORS,
    "segmenter": SEGMENTERS,
    "features": FEATURES,
    "tracker": TRACKERS,
}


def build_extractor(config: PerceptionConfig) -> KeypointExtractor:
    """Return detector, segmenter and features of a configuration.

    Raises:
        ConfigError: the configuration asks for what cannot be (e.g. detector `given` without boxes).
    """
    return KeypointExtractor(
        DETECTORS[config.back_end("detector")](config),
        SEGMENTERS[config.back_end("segmenter")](config),
        FEATURES[config.back_end("features")](config),
        config.num_keypoints,
        config.seed,
        config.choice,
    )


def build_tracker(config: PerceptionConfig, waits: bool = False) -> PointTracker:
    """Return the tracker of a configuration.

    Args:
        config: Names it.
        waits: Let every frame wait for the tracker's network, so that the same frames give the same answers on any
            machine; whatever the configuration says of running it in the background.
    """
    if waits:
        config = replace(config, cotracker3=replace(config.cotracker3, background=False))
    return TRACKERS[config.back_end("tracker")](config)
