"""The perception pipeline: a frame in, key-patches out. The one object that every host runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from glue_perception import full_profile
from glue_perception.config import suggest
from glue_perception.detectors.base import Detector
from glue_perception.detectors.color import ColorDetector, ColorDetectorConfig
from glue_perception.detectors.given import GivenBoxDetector
from glue_perception.detectors.grounding_dino_config import GroundingDinoConfig
from glue_perception.errors import ConfigError, NotReadyError, QueryError, StaleDataError
from glue_perception.features.base import FeatureEncoder
from glue_perception.features.lab_position import LabPositionEncoder
from glue_perception.features.vit_grid_config import Dinov2GridConfig, VitGridConfig
from glue_perception.key_patches import key_patches_from_tracks
from glue_perception.keypoint_extractor import Extraction, KeypointExtractor, extraction_of
from glue_perception.nets.compute import Device, Precision
from glue_perception.object_choice import ObjectChoiceConfig
from glue_perception.preflight import Preflight
from glue_perception.segmenters.base import Segmenter
from glue_perception.segmenters.grabcut import GrabCutSegmenter
from glue_perception.segmenters.sam_config import SamConfig
from glue_perception.track_health import TrackHealthConfig, TrackHealthMonitor
from glue_perception.trackers.base import PointTracker
from glue_perception.trackers.cotracker3_config import CoTracker3Config
from glue_perception.trackers.lucas_kanade import LucasKanadeTracker
from glue_perception.trackers.lucas_kanade_config import LucasKanadeConfig
from glue_perception.types import CameraFrame, KeyPatches, PointTracks


@dataclass(frozen=True)
class PerceptionConfig:
    """Which back-ends see, and how. The `perception` section of a task's YAML.

    Attributes:
        profile: Set of back-ends; `embedded` needs no weights and no GPU.
        detector: Name of another detector than the profile's, or None.
        segmenter: The same.
        features: The same.
        tracker: The same.
        num_keypoints: The paper's N_cluster, the total over all objects (Table III: 10, 15 or 20).
        seed: Of K-means.
        position_weight: See `LabPositionEncoder`.
        given_boxes: For detector `given`: query -> left, top, right, bottom in px.
        device: Where networks run.
        precision: Number format of networks.
        choice: Limits of the choice among a detector's candidates.
        color: Limits of detector `color`.
        lucas_kanade: Limits of tracker `lucas_kanade`.
        cotracker3: Weights and limits of tracker `cotracker3` (CC BY-NC 4.0: non-commercial use only).
        health: Limits of track health.
        grounding_dino: Weights and limits of detectors `grounding_dino` and `groundingdino_py`.
        sam: Weights and clean-up of segmenters `sam` and `segment_anything`.
        clip: Weights and grid of features `clip` and `open_clip`.
        dinov2: Weights and grid of features `dinov2`.

    Raises:
        ConfigError: an unknown profile or back-end, or a number out of range.
    """

    profile: str = "embedded"
    detector: str | None = None
    segmenter: str | None = None
    features: str | None = None
    tracker: str | None = None
    num_keypoints: int = 15
    seed: int = 0
    position_weight: float = 2.0
    given_boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    device: Device = Device.AUTO
    precision: Precision = Precision.FLOAT32
    choice: ObjectChoiceConfig = field(default_factory=ObjectChoiceConfig)
    color: ColorDetectorConfig = field(default_factory=ColorDetectorConfig)
    lucas_kanade: LucasKanadeConfig = field(default_factory=LucasKanadeConfig)
    cotracker3: CoTracker3Config = field(default_factory=CoTracker3Config)
    health: TrackHealthConfig = field(default_factory=TrackHealthConfig)
    grounding_dino: GroundingDinoConfig = field(default_factory=GroundingDinoConfig)
    sam: SamConfig = field(default_factory=SamConfig)
    clip: VitGridConfig = field(default_factory=VitGridConfig)
    dinov2: Dinov2GridConfig = field(default_factory=Dinov2GridConfig)

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ConfigError(
                f"unknown perception profile {self.profile!r}.{suggest(self.profile, PROFILES)}"
            )
        for role, known in BACK_ENDS.items():
            name = self.back_end(role)
            if name not in known:
                raise ConfigError(f"unknown {role} {name!r}.{suggest(name, known)}")
        if self.num_keypoints < 1:
            raise ConfigError(f"num_keypoints must be at least 1, not {self.num_keypoints}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must lie in 0..2^31-1, not {self.seed}")

    def back_end(self, role: str) -> str:
        """Return the name of the back-end of a role (detector, segmenter, features, tracker)."""
        chosen: str | None = getattr(self, role)
        return chosen if chosen is not None else PROFILES[self.profile][role]


def _cotracker3(config: PerceptionConfig) -> PointTracker:
    # Torch is loaded only where a network is asked for.
    from glue_perception.trackers.cotracker3 import build_cotracker3

    return build_cotracker3(config.cotracker3)


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
PROFILES: dict[str, dict[str, str]] = {
    "embedded": {
        "detector": "color",
        "segmenter": "grabcut",
        "features": "lab_position",
        "tracker": "lucas_kanade",
    },
    "full": full_profile.FULL,
}


class PerceptionPipeline:
    """Extracts keypoints once per episode, then gives key-patches for every frame.

    Life cycle: `start` begins an episode and forgets the one before; `update` is called for every later frame, in
    the order of their stamps, by one thread. The same frames give the same answers bit for bit.

    Args:
        extractor: From queries to keypoints.
        tracker: From keypoints to tracks.
        health: Limits of track health.
        queries: One text per task-relevant object.
    """

    def __init__(
        self,
        extractor: KeypointExtractor,
        tracker: PointTracker,
        health: TrackHealthConfig,
        queries: Sequence[str],
    ) -> None:
        if not queries:
            raise QueryError("there are no queries; name at least one object, e.g. 'red button'")
        self.queries = tuple(queries)
        self._extractor, self._tracker, self._health_config = extractor, tracker, health
        self._episode: _Episode | None = None

    def preflight(self, frame: CameraFrame) -> Preflight:
        """Return what would be found and refused if an episode began with this frame; changes nothing.

        Raises:
            ConfigError: `num_keypoints` is too small for the number of queries.
        """
        return self._extractor.preflight(frame, self.queries)

    def start(self, frame: CameraFrame, *, found: Preflight | None = None) -> Extraction:
        """Begin an episode; `key_patches` then holds those of this first frame.

        Args:
            frame: The first one.
            found: What `preflight` said of this very frame, so that nothing is looked for twice; None: look now.

        Raises:
            QueryError: a query cannot be answered in this frame; no episode is running then.
        """
        self._episode = None
        extraction = extraction_of(found or self.preflight(frame))
        episode = _Episode(
            extraction, TrackHealthMonitor(self._health_config, frame.width_px, frame.height_px)
        )
        episode.take(frame, self._tracker.start(frame, extraction.keypoints))
        self._episode = episode
        return extraction

    def update(self, frame: CameraFrame) -> KeyPatches:
        """Return the key-patches of `frame`; the frame of the last call again gives the same answer.

        Raises:
            NotReadyError: `start` was not called, or it failed.
            StaleDataError: the frame is older than the last one.
            InvalidValueError: the resolution changed within the episode.
        """
        episode = self._running()
        last_ns = episode.key_patches.stamp_ns
        if frame.stamp_ns < last_ns:
            raise StaleDataError(
                f"frame of {frame.stamp_ns} ns came after the frame of {last_ns} ns; give frames in the order of "
                "their stamps, or start a new episode"
            )
        if frame.stamp_ns > last_ns:
            episode.take(frame, self._tracker.update(frame))
        return episode.key_patches

    @property
    def key_patches(self) -> KeyPatches:
        """Those of the last frame given to `start` or `update`.

        Raises:
            NotReadyError: no episode is running.
        """
        return self._running().key_patches

    @property
    def extraction(self) -> Extraction:
        """What the running episode began with.

        Raises:
            NotReadyError: no episode is running.
        """
        return self._running().extraction

    def _running(self) -> _Episode:
        if self._episode is None:
            raise NotReadyError("no episode is running; call start with its first frame")
        return self._episode


class _Episode:
    """What one episode holds; a new one is built by every start."""

    key_patches: KeyPatches

    def __init__(self, extraction: Extraction, monitor: TrackHealthMonitor) -> None:
        self.extraction = extraction
        self._monitor = monitor

    def take(self, frame: CameraFrame, tracks: PointTracks) -> None:
        self.key_patches = key_patches_from_tracks(
            tracks,
            self._monitor.update(tracks),
            self.extraction.keypoints.query_index,
            frame.width_px,
            frame.height_px,
        )


def build_pipeline(config: PerceptionConfig, queries: Sequence[str]) -> PerceptionPipeline:
    """Return the pipeline that a configuration names.

    Raises:
        QueryError: there are no queries.
        ConfigError: the configuration asks for what cannot be (e.g. detector `given` without boxes).
    """
    extractor = KeypointExtractor(
        DETECTORS[config.back_end("detector")](config),
        SEGMENTERS[config.back_end("segmenter")](config),
        FEATURES[config.back_end("features")](config),
        config.num_keypoints,
        config.seed,
        config.choice,
    )
    tracker = TRACKERS[config.back_end("tracker")](config)
    return PerceptionPipeline(extractor, tracker, config.health, queries)
