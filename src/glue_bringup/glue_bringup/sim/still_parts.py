"""Draws what stands still once instead of in every frame, with the same pixels.

Without a GPU most of a frame's time goes into table, walls and floor, which fill the picture and never change, seen
by a camera that never moves. Their colours and depths are kept; a frame then takes the drawing of what moves, and of
each pixel the nearer of the two.
"""

from __future__ import annotations

import importlib
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast")


class StillParts(StrEnum):
    """Whether what stands still is drawn again: `auto` reuses it with a software renderer.

    A GPU draws it faster than its depths can be read back.
    """

    AUTO = "auto"
    REUSE = "reuse"
    REDRAW = "redraw"


def reuse_pays() -> bool:
    """Return whether the current OpenGL context draws without a GPU."""
    gl = importlib.import_module("OpenGL.GL")
    name = gl.glGetString(gl.GL_RENDERER) or b""
    return any(known in name.decode("ascii", "replace").lower() for known in SOFTWARE_RENDERERS)


class StillPicture:
    """Colours and depths of the still parts, and the state of the scene that they were drawn in.

    Args:
        model: Compiled MuJoCo model.
        camera_id: Of the one fixed camera.
        size_px: Height and width.
    """

    def __init__(self, model: Any, camera_id: int, size_px: tuple[int, int]) -> None:
        self._model, self._camera_id = model, camera_id
        self._geoms = np.flatnonzero(model.body_weldid[model.geom_bodyid] == 0)
        self._sites = np.flatnonzero(model.body_weldid[model.site_bodyid] == 0)
        self.rgb: UInt8[np.ndarray, "height width 3"] = np.empty((*size_px, 3), np.uint8)
        self.depth: Float32[np.ndarray, "height width"] = np.empty(size_px, np.float32)
        self._state: bytes | None = None
        self._drawn = False
        self.wants_drawing = False

    def is_exact(self, flags: Any, shown_groups: Any, mujoco: Any) -> bool:
        """Return whether two layers put together give the very pixels of one drawing.

        Not with multisampling, shadows, reflections or anything transparent, nor where colours are numbers.
        """
        model, flag = self._model, mujoco.mjtRndFlag
        if model.vis.quality.offsamples or any(
            flags[f] for f in (flag.mjRND_SHADOW, flag.mjRND_REFLECTION, flag.mjRND_SEGMENT)
        ):
            return False
        alpha = np.where(model.geom_matid >= 0, _alpha_of_materials(model), model.geom_rgba[:, 3])
        shown = np.asarray(shown_groups)[model.geom_group].astype(bool)
        return not bool(np.any(shown & (alpha > 0.0) & (alpha < 1.0)))

    def is_current(self, data: Any, shown_groups: Any) -> bool:
        """Return whether the picture is of this state; call it once per frame.

        A new state is remembered. When it lasts for a second frame `wants_drawing` becomes true, so that what moves
        in every frame after all is not drawn twice.
        """
        state = self._state_of(data, shown_groups)
        if state != self._state:
            self._state, self._drawn, self.wants_drawing = state, False, False
            return False
        self.wants_drawing = not self._drawn
        return self._drawn

    def drawn(self) -> None:
        """Take note that `rgb` and `depth` hold the remembered state."""
        self._drawn, self.wants_drawing = True, False

    def put_before(
        self, rgb: UInt8[np.ndarray, "height width 3"], depth: Float32[np.ndarray, "height width"]
    ) -> None:
        """Fill in, in place, what stands still wherever it is nearer than what moves."""
        behind = cv2.compare(depth, self.depth, cv2.CMP_GT)
        cv2.copyTo(self.rgb, behind, rgb)
        cv2.copyTo(self.depth, behind, depth)

    def _state_of(self, data: Any, shown_groups: Any) -> bytes:
        """Return all that the still parts' looks depend on, as bytes; pictures of textures excepted."""
        model, geoms, camera = self._model, self._geoms, self._camera_id
        headlight = model.vis.headlight
        parts = (
            data.geom_xpos[geoms],
            data.geom_xmat[geoms],
            model.geom_size[geoms],
            model.geom_rgba[geoms],
            model.geom_matid[geoms],
            model.geom_group[geoms],
            data.site_xpos[self._sites],
            model.mat_rgba,
            model.mat_emission,
            model.mat_specular,
            model.mat_shininess,
            model.mat_texid,
            data.light_xpos,
            data.light_xdir,
            model.light_active,
            model.light_ambient,
            model.light_diffuse,
            model.light_specular,
            headlight.ambient,
            headlight.diffuse,
            headlight.specular,
            data.cam_xpos[camera],
            data.cam_xmat[camera],
            model.cam_fovy[camera],
            np.asarray(shown_groups),
        )
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _alpha_of_materials(model: Any) -> Any:
    return model.mat_rgba[np.maximum(model.geom_matid, 0), 3] if model.nmat else np.ones(model.ngeom)
