"""The `perception` section of a task's YAML: which back-ends see, by name, and their settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from glue_perception.config import suggest
from glue_perception.detectors.color import ColorDetectorConfig
from glue_perception.detectors.grounding_dino_config import GroundingDinoConfig
from glue_perception.errors import ConfigError
from glue_perception.features.vit_grid_config import Dinov2GridConfig, VitGridConfig
from glue_perception.nets.compute import Device, Precision
from glue_perception.object_choice import ObjectChoiceConfig
from glue_perception.redetection.config import RedetectionConfig
from glue_perception.segmenters.sam_config import SamConfig
from glue_perception.stream_monitor import StreamConfig
from glue_perception.track_health import TrackHealthConfig
from glue_perception.trackers.cotracker3_config import CoTracker3Config
from glue_perception.trackers.lucas_kanade_config import LucasKanadeConfig

BACK_END_NAMES: dict[str, tuple[str, ...]] = {
    "detector": ("color", "given", "grounding_dino", "groundingdino_py"),
    "segmenter": ("grabcut", "sam", "segment_anything"),
    "features": ("lab_position", "clip", "dinov2", "open_clip"),
    "tracker": ("lucas_kanade", "cotracker3"),
}
"""Of each role; `back_ends` builds what they name."""

_FULL = {"detector": "grounding_dino", "segmenter": "sam", "features": "clip", "tracker": "lucas_kanade"}
PROFILES: dict[str, dict[str, str]] = {
    "embedded": {
        "detector": "color",
        "segmenter": "grabcut",
        "features": "lab_position",
        "tracker": "lucas_kanade",
    },
    "full": _FULL,
    "paper": {**_FULL, "tracker": "cotracker3"},
}
"""Role -> back-end."""


@dataclass(frozen=True)
class PerceptionConfig:
    """Which back-ends see, and how. The `perception` section of a task's YAML.

    Attributes:
        profile: Set of back-ends: `embedded` needs no weights and no GPU; `full` are the paper's networks with our
            tracker; `paper` has CoTracker3 too, whose licence is non-commercial.
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
        grounding_dino: Weights and limits of detectors `grounding_dino` and `groundingdino_py`.
        sam: Weights and clean-up of segmenters `sam` and `segment_anything`.
        clip: Weights and grid of features `clip` and `open_clip`.
        dinov2: Weights and grid of features `dinov2`.
        health: Limits of track health.
        stream: What counts as a fault of the camera's stream.
        redetection: When lost objects are looked for again, and what is taken for the same object.

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
    grounding_dino: GroundingDinoConfig = field(default_factory=GroundingDinoConfig)
    sam: SamConfig = field(default_factory=SamConfig)
    clip: VitGridConfig = field(default_factory=VitGridConfig)
    dinov2: Dinov2GridConfig = field(default_factory=Dinov2GridConfig)
    health: TrackHealthConfig = field(default_factory=TrackHealthConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    redetection: RedetectionConfig = field(default_factory=RedetectionConfig)

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ConfigError(
                f"unknown perception profile {self.profile!r}.{suggest(self.profile, PROFILES)}"
            )
        for role, known in BACK_END_NAMES.items():
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
