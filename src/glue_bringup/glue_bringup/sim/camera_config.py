"""The twin's third-person camera: where it stands and what it measures. Knows no simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_perception.errors import ConfigError
from glue_perception.geometry import make_transform

FRAME_ID = "camera_color_optical_frame"
CAMERA_NAME = "third_person"


@dataclass(frozen=True)
class CameraConfig:
    """A pinhole camera that looks at a point of the table, upright, without distortion.

    The default view is that of the paper's robot: across the table, the arm coming in from the right.

    Attributes:
        width_px: Image width.
        height_px: Image height.
        rate_hz: Frames per second where the twin runs in real time.
        vertical_fov_deg: Angle between the top and the bottom edge of the image.
        position_m: Optical centre in the base frame.
        look_at_m: Point in the base frame that the image centre shows.
        depth: Whether pictures come with depth, which a policy on point clouds (dp3) and its demonstrations need. The
            synchronous twin only; without noise.

    Raises:
        ConfigError: a size, rate or angle out of range, or a line of sight straight up or down.
    """

    width_px: int = 640
    height_px: int = 480
    rate_hz: float = 30.0
    vertical_fov_deg: float = 43.0
    position_m: tuple[float, float, float] = (1.16, 0.93, 0.78)
    look_at_m: tuple[float, float, float] = (0.34, -0.03, 0.285)
    depth: bool = False

    def __post_init__(self) -> None:
        if not (8 <= self.width_px <= 4096 and 8 <= self.height_px <= 4096):
            raise ConfigError(f"camera size must lie in 8..4096 px, not {self.width_px} x {self.height_px}")
        if not 0.0 < self.rate_hz <= 200.0:
            raise ConfigError(f"camera rate_hz must lie in 0..200, not {self.rate_hz:g}")
        if not 1.0 <= self.vertical_fov_deg <= 150.0:
            raise ConfigError(f"camera vertical_fov_deg must lie in 1..150, not {self.vertical_fov_deg:g}")
        sight = np.subtract(self.look_at_m, self.position_m)
        if float(np.linalg.norm(sight[:2])) < 1e-3 * max(float(np.linalg.norm(sight)), 1e-6):
            raise ConfigError("camera look_at_m must not lie straight above or below position_m")

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """Pinhole matrix K in px, for pixel centres at integers."""
        focal = 0.5 * self.height_px / math.tan(math.radians(self.vertical_fov_deg) / 2)
        return np.array(
            [
                [focal, 0.0, (self.width_px - 1) / 2],
                [0.0, focal, (self.height_px - 1) / 2],
                [0.0, 0.0, 1.0],
            ]
        )

    @property
    def T_base_camera(self) -> Float[np.ndarray, "4 4"]:
        """Pose of the optical frame (x right, y down, z forward) in the base frame, metres."""
        forward = np.subtract(self.look_at_m, self.position_m)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right = right / np.linalg.norm(right)
        down = np.cross(forward, right)
        return make_transform(np.stack([right, down, forward], axis=1), np.array(self.position_m))
