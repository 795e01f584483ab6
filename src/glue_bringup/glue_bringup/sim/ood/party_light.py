"""A party light: coloured spots that wander over everything, and a room light that dims and changes its tint.

The simulator's own lights are computed at the corners of triangles, so they cannot draw spots of a few
centimetres. The lamp is therefore a projector worked out per pixel: the depth picture says which point a pixel
shows, the direction from lamp to point says which spot of the lamp's pattern falls there, and the spot's colour
is multiplied by what the surface reflects. Not modelled: shadows of the lamp (it hangs close to the camera's
side, where they are mostly out of sight) and the slant of the surface. Everything is a function of simulated
time and of the seed alone.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from glue_bringup.sim.camera_config import CameraConfig
from glue_perception.timing import NS_PER_S

LAMP_M = (0.95, 0.25, 1.35)
"""Base frame: above the near part of the table."""

SPOTS = 1300
"""On the whole sphere; about a hundred fall into the picture, of which a third to two thirds are lit at a time."""

SPOT_RADIUS_RAD = 0.019
"""About 4 cm across on the table, 11 cm on the walls."""

COLOURS = ((1.0, 0.10, 0.14), (0.12, 1.0, 0.16), (0.16, 0.14, 1.0))
"""Red, green, blue; in the authors' clip one or two of them are lit at a time."""

FADE_S = (2.3, 3.1, 2.7)
"""Periods in which the three colours come and go at a lamp speed of 0.8 rad/s, that of grade 2."""

_REFERENCE_SPEED_RAD_S = 0.8
_ROWS, _COLS = 512, 1024
_STREAM = 33


class PartyLight:
    """The lamp in front of one camera.

    Args:
        camera: Size and place.
        strength: 0..1; spots of full strength outshine the room light twice.
        speed_rad_s: Turn of the lamp about the vertical.
        fade_in_s: Time from the episode's start in which the strength rises from 0.
    """

    def __init__(
        self, camera: CameraConfig, strength: float, speed_rad_s: float, fade_in_s: float = 0.0
    ) -> None:
        self._full_strength, self._speed_rad_s, self._fade_in_s = strength, speed_rad_s, fade_in_s
        K, T = camera.intrinsics, camera.T_base_camera
        u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
        rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u, float)])
        self._rays = np.einsum("ij,jhw->ihw", T[:3, :3], rays).astype(np.float32)
        self._from_lamp = (np.asarray(camera.position_m) - LAMP_M).astype(np.float32)
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Begin episode `seed`: its own turn of the lamp and phases of the colours."""
        rng = np.random.default_rng([seed, _STREAM])
        self._turn_rad, self._tint_turn_rad = rng.uniform(0.0, 2 * np.pi, 2)
        self._phases = rng.uniform(0.0, 1.0, 3)

    def shine(
        self,
        rgb: UInt8[np.ndarray, "height width 3"],
        depth_m: Float32[np.ndarray, "height width"],
        time_ns: int,
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture as lit at a time.

        Args:
            rgb: As lit by the room light alone.
            depth_m: Of the same picture, along the camera's axis.
            time_ns: Simulated time since the episode's start.
        """
        time_s = time_ns / NS_PER_S
        strength = self._full_strength * min(1.0, time_s / self._fade_in_s if self._fade_in_s else 1.0)
        x, y, z = (ray * depth_m + shift for ray, shift in zip(self._rays, self._from_lamp, strict=True))
        across, turn_deg = cv2.cartToPolar(x, y, angleInDegrees=True)
        _, polar_deg = cv2.cartToPolar(z, across, angleInDegrees=True)  # 0 upwards, 180 downwards
        shift_deg = float(np.degrees(self._turn_rad + self._speed_rad_s * time_s)) % 360.0
        cols = turn_deg * np.float32(_COLS / 360.0) + np.float32(shift_deg * _COLS / 360.0)
        # No border mode of remap makes an index wrap around reliably for all sizes, so it is done here.
        np.subtract(cols, np.float32(_COLS), out=cols, where=cols >= _COLS)
        spots = cv2.remap(
            _pattern(),
            cols,
            polar_deg * np.float32(_ROWS / 180.0),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        light = cv2.transform(spots, self._spot_colours(time_s, strength))
        light += self._room(time_s, strength)
        lit: np.ndarray = cv2.multiply(rgb, light, dtype=cv2.CV_8U)
        return lit

    def _spot_colours(self, time_s: float, strength: float) -> Float32[np.ndarray, "3 3"]:
        """Return the matrix from which colour a spot has to the light that it gives now."""
        pace = self._speed_rad_s / _REFERENCE_SPEED_RAD_S
        phase = self._phases + time_s * pace / np.asarray(FADE_S)
        # On for somewhat more than half of the period, with soft ends.
        on = np.clip(0.5 + 1.6 * (np.sin(2 * np.pi * phase) + 0.2), 0.0, 1.0)
        return np.ascontiguousarray((np.asarray(COLOURS) * on[:, None]).T * 2.0 * strength, np.float32)

    def _room(self, time_s: float, strength: float) -> Float32[np.ndarray, "3"]:
        """Return the room light as a factor per channel: dimmed, and tinted in a hue that goes around."""
        turn = self._tint_turn_rad + 0.5 * self._speed_rad_s * time_s
        hue = np.cos(turn + np.array([0.0, -2 * np.pi / 3, 2 * np.pi / 3]))
        level = 1.0 - 0.30 * strength
        return np.asarray(level * (1.0 + 0.25 * strength**2 * hue), np.float32)


@lru_cache(maxsize=1)
def _pattern() -> Float32[np.ndarray, "512 1024 3"]:
    """Return the lamp's pattern on azimuth (columns) and polar angle (rows): one plane per spot colour, 0..1."""
    rng = np.random.default_rng(_STREAM)
    k = np.arange(SPOTS) + 0.5
    polar = np.arccos(1.0 - 2.0 * k / SPOTS) + rng.normal(0.0, 0.02, SPOTS)
    turn = (np.pi * (1.0 + 5.0**0.5) * k + rng.normal(0.0, 0.04, SPOTS)) % (2 * np.pi)
    radius = SPOT_RADIUS_RAD * rng.uniform(0.7, 1.3, SPOTS)
    colour = rng.integers(0, 3, SPOTS)
    rows = (np.arange(_ROWS) + 0.5) * np.pi / _ROWS
    cols = (np.arange(_COLS) + 0.5) * 2 * np.pi / _COLS
    pattern = np.zeros((_ROWS, _COLS, 3), np.float32)
    for p, t, r, c in zip(polar, turn, radius, colour, strict=True):
        near = np.abs(rows - p) < 2 * r
        cosine = np.cos(rows[near, None]) * np.cos(p) + np.sin(rows[near, None]) * np.sin(p) * np.cos(
            cols - t
        )
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        pattern[near, :, c] = np.maximum(pattern[near, :, c], np.clip(1.6 - 1.2 * angle / r, 0.0, 1.0))
    return pattern
