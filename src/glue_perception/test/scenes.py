"""Synthetic scenes with known truth: a wooden table, coloured things, an arm that passes, a shadow that moves."""

import cv2
import numpy as np

from glue_perception.types import CameraFrame

WIDTH, HEIGHT = 640, 480
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
RED, BLUE, YELLOW, GREEN, WHITE = (190, 25, 35), (25, 40, 190), (225, 190, 20), (30, 140, 50), (235, 235, 235)


def table(seed: int = 0) -> np.ndarray:
    """Planks with grain, of the chroma that real wood has."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(
        rng.normal(0, 60, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), sigmaX=25, sigmaY=1.2
    )
    image = np.array([176.0, 158.0, 132.0]) + grain[..., None]
    image[::80] -= 30
    return np.clip(image, 0, 255).astype(np.uint8)


def disc(
    image: np.ndarray, center: tuple[float, float], radius: float, color: tuple[int, int, int]
) -> np.ndarray:
    """A textured disc with sub-pixel placement."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    dx, dy = x - center[0], y - center[1]
    cover = np.clip(radius + 0.5 - np.hypot(dx, dy), 0, 1)[..., None]
    texture = 1.0 + 0.25 * np.sin(dx * 0.55 + 1.0) * np.cos(dy * 0.45)
    paint = np.clip(np.array(color) * texture[..., None], 0, 255)
    return (image * (1 - cover) + paint * cover).round().astype(np.uint8)


def box(
    image: np.ndarray, left: int, top: int, right: int, bottom: int, color: tuple[int, int, int]
) -> np.ndarray:
    drawn = image.copy()
    drawn[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = color
    return drawn


def arm(image: np.ndarray, left: int, width: int = 90) -> np.ndarray:
    """A white link with a dark stripe, from the top of the image down past the objects."""
    drawn = box(image, left, 0, left + width, 340, WHITE)
    return box(drawn, left + width // 3, 0, left + width // 2, 320, (50, 50, 55))


def shadow(image: np.ndarray, center_x: float, depth: float = 0.5) -> np.ndarray:
    """A soft vertical shadow."""
    x = np.arange(WIDTH)
    light = 1.0 - depth * np.clip(1.5 - np.abs(x - center_x) / 60.0, 0.0, 1.0)
    return (image * light[None, :, None]).astype(np.uint8)


def camera_frame(rgb: np.ndarray, index: int = 0) -> CameraFrame:
    return CameraFrame(index * 33_333_333, "camera_color_optical_frame", rgb, K)
