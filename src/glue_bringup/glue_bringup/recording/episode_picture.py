"""One picture of an episode: the frame with key-patches by health and the predicted motion drawn into it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from glue_perception.geometry import project_points
from glue_perception.overlay import draw_path, draw_tracking
from glue_perception.overlay.style import Image
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches


class EpisodePicture:
    """Draws what perception and policy say of a frame.

    Args:
        queries: Texts of the task's objects.
        T_base_camera: Pose of the camera's optical frame in the base frame, metres; None where it is not known: then
            the predicted motion is not drawn.
    """

    def __init__(self, queries: Sequence[str], T_base_camera: Float[np.ndarray, "4 4"] | None) -> None:
        self._queries = list(queries)
        self._T_base_camera = T_base_camera

    def draw(
        self,
        frame: CameraFrame,
        patches: KeyPatches,
        chunk: ActionChunk | None = None,
        lines: Sequence[str] = (),
    ) -> Image:
        """Return the picture.

        Args:
            frame: As the camera sent it.
            patches: Of this frame.
            chunk: In force or about to be; targets whose time has passed at the frame are left out.
            lines: Status text.
        """
        image = draw_tracking(frame, patches, self._queries, lines)
        if chunk is None or self._T_base_camera is None:
            return image
        passed = max(0, (frame.stamp_ns - chunk.stamp_ns) // chunk.dt_ns)
        return draw_path(
            image, project_points(chunk.position_m[passed:], self._T_base_camera, frame.intrinsics)
        )
