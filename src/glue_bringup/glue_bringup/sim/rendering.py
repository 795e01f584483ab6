"""Off-screen rendering: finds a working OpenGL library and draws frames with it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from glue_bringup.sim.still_parts import StillParts, StillPicture, reuse_pays
from glue_perception.errors import RenderingError

BACKENDS = ("egl", "osmesa")
"""Tried in this order: EGL uses a GPU where there is one and is a little faster than OSMesa without."""

REMEDY = (
    "Install one of them, on Debian and Ubuntu with 'sudo apt-get install libegl1 libgl1-mesa-dri' or "
    "'sudo apt-get install libosmesa6'."
)

_PROBE = """
import importlib, sys
context = importlib.import_module("mujoco." + sys.argv[1]).GLContext(8, 8)
context.make_current()
"""
_PROBE_TIMEOUT_S = 30.0

_working: dict[str, bool] = {}


def require_rendering() -> str:
    """Return the name of a working back-end, `egl` or `osmesa`, and put it into `MUJOCO_GL`.

    A choice already in the environment is the only one tried. The first call of a process tree tries in a
    child process, since a half-loaded OpenGL library cannot be unloaded; later calls are free.

    Raises:
        RenderingError: none works; the message names the packages to install.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen and chosen not in BACKENDS:
        raise RenderingError(
            f"MUJOCO_GL is {chosen!r}, which cannot render off screen; unset it or set it to 'egl' or 'osmesa'"
        )
    candidates = (chosen,) if chosen else BACKENDS
    for backend in candidates:
        if _works(backend):
            os.environ["MUJOCO_GL"] = backend
            return backend
    raise RenderingError(f"no off-screen rendering with {' or '.join(candidates)}. {REMEDY}")


def _works(backend: str) -> bool:
    if backend not in _working:
        environment = {**os.environ, "MUJOCO_GL": backend}
        environment.pop("PYOPENGL_PLATFORM", None)
        try:
            probe = subprocess.run(
                [sys.executable, "-c", _PROBE, backend],
                env=environment,
                capture_output=True,
                timeout=_PROBE_TIMEOUT_S,
                check=False,
            )
            _working[backend] = probe.returncode == 0
        except subprocess.TimeoutExpired:
            _working[backend] = False
    return _working[backend]


class OffscreenRenderer:
    """Draws one fixed camera of one model. Belongs to the thread that built it; `close` when done.

    Args:
        model: Compiled MuJoCo model; textures and meshes must not change any more.
        camera_name: One that does not move.
        width_px: Image width.
        height_px: Image height.
        still_parts: Speed only; the pixels are the same.

    Raises:
        RenderingError: when built, if no OpenGL library works.
    """

    def __init__(
        self,
        model: Any,
        camera_name: str,
        width_px: int,
        height_px: int,
        still_parts: StillParts = StillParts.AUTO,
    ) -> None:
        backend = require_rendering()
        import mujoco

        self._mujoco = mujoco
        self._model = model
        try:
            gl = importlib.import_module(f"mujoco.{backend}").GLContext(width_px, height_px)
        except Exception as error:
            raise RenderingError(f"cannot create a {backend} context: {error}. {REMEDY}") from error
        gl.make_current()
        self._gl = gl
        self._scene = mujoco.MjvScene(model, maxgeom=500)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = (
            1,
            1,
            1,
            0,
            0,
            1,
        )  # group 3 holds the collision shapes, 4 what is out of use
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera_name)
        self._perturb = mujoco.MjvPerturb()
        self._viewport = mujoco.MjrRect(0, 0, width_px, height_px)
        # Also at the interpreter's exit: OSMesa complains when its context outlives the modules.
        self._free = weakref.finalize(self, _free_contexts, gl, self._context)
        self._buffer = np.empty((height_px, width_px, 3), np.uint8)
        self._depth = np.empty((height_px, width_px), np.float32)
        # Shadows would cost two more passes over the scene: 16 ms more than the 8 ms of a frame without a GPU.
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        reuse = reuse_pays() if still_parts is StillParts.AUTO else still_parts is StillParts.REUSE
        self._still = StillPicture(model, self._camera.fixedcamid, (height_px, width_px)) if reuse else None

    def render(self, data: Any) -> UInt8[np.ndarray, "height width 3"]:
        """Return a new image of the state whose kinematics are in `data`."""
        self._draw_frame(data, None)
        return np.ascontiguousarray(self._buffer[::-1])

    def _draw_frame(self, data: Any, depth: Float32[np.ndarray, "height width"] | None) -> None:
        """Draw into the buffer, upside down as OpenGL does, and the depths too if given."""
        self._gl.make_current()
        still, groups, category = self._still, self._option.geomgroup, self._mujoco.mjtCatBit
        if still is None or not still.is_exact(self._scene.flags, groups, self._mujoco):
            self._draw(data, category.mjCAT_ALL, self._buffer, depth)
            return
        if not still.is_current(data, groups):
            if not still.wants_drawing:
                self._draw(data, category.mjCAT_ALL, self._buffer, depth)
                return
            self._draw(data, category.mjCAT_STATIC, still.rgb, still.depth)
            still.drawn()
        into = self._depth if depth is None else depth
        self._draw(data, category.mjCAT_DYNAMIC, self._buffer, into)
        still.put_before(self._buffer, into)

    def _draw(
        self,
        data: Any,
        category: Any,
        rgb: UInt8[np.ndarray, "height width 3"],
        depth: Float32[np.ndarray, "height width"] | None,
    ) -> None:
        mujoco = self._mujoco
        mujoco.mjv_updateScene(
            self._model, data, self._option, self._perturb, self._camera, category.value, self._scene
        )
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(rgb, depth, self._viewport, self._context)

    def render_with_depth(
        self, data: Any
    ) -> tuple[UInt8[np.ndarray, "height width 3"], Float32[np.ndarray, "height width"]]:
        """Return a new image and, per pixel, the distance along the camera's axis in metres."""
        z = np.empty(self._buffer.shape[:2], np.float32)
        self._draw_frame(data, z)
        rgb = np.ascontiguousarray(self._buffer[::-1])
        extent = self._model.stat.extent
        near, far = self._model.vis.map.znear * extent, self._model.vis.map.zfar * extent
        depth_m: np.ndarray = near / (1.0 - z[::-1] * np.float32(1.0 - near / far))
        return rgb, depth_m

    def segment(self, data: Any, groups: Sequence[int] = (0, 1, 2)) -> Int32[np.ndarray, "height width 2"]:
        """Return what each pixel shows: MuJoCo's object type and object number, -1 and -1 for nothing.

        Args:
            data: Kinematics.
            groups: What is of other groups is left out, and what stands behind it shows.
        """
        option = self._option
        shown = (option.geomgroup, option.flexgroup, option.skingroup)
        before, flags = [group.copy() for group in shown], self._scene.flags.copy()
        for group in shown:
            group[:] = [int(g in groups) for g in range(len(group))]
        self._scene.flags[self._mujoco.mjtRndFlag.mjRND_SEGMENT] = 1
        self._scene.flags[self._mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        try:
            image = self.render(data).astype(np.int32)
        finally:
            for group, value in zip(shown, before, strict=True):
                group[:] = value
            self._scene.flags[:] = flags
        number = image[..., 0] + (image[..., 1] << 8) + (image[..., 2] << 16)
        table = np.full((self._scene.ngeom + 1, 2), -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if 0 <= geom.segid < self._scene.ngeom:
                table[geom.segid + 1] = geom.objtype, geom.objid
        found: np.ndarray = table[np.minimum(number, self._scene.ngeom)]
        return found

    def close(self) -> None:
        """Free the context. Safe to call twice."""
        self._free()


def _free_contexts(gl: Any, context: Any) -> None:
    gl.make_current()
    context.free()
    gl.free()
