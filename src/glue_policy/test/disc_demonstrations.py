"""Demonstrations drawn by numpy: a red disc lies somewhere, and the hand moves to a linear function of its place."""

from pathlib import Path

import numpy as np
import torch

from glue_perception.bags.writer import BagWriter
from glue_perception.geometry import grid_cells
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, Observation, RobotState, TrackHealth
from glue_policy.data.episodes import EpisodeArrays

DOWN_6D = np.array([1.0, 0.0, 0.0, 0.0, -1.0, 0.0])
WIDTH_PX, HEIGHT_PX = 64, 48
KEY_PATCHES = 5
DT_NS = 100_000_000


def target_m(xy: np.ndarray) -> np.ndarray:
    """Where the hand goes for a disc at xy [2] in 0..1."""
    return np.array([0.35 + 0.3 * xy[1], 0.4 * (xy[0] - 0.5), 0.1])


def picture(xy: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """A red disc at xy in 0..1 on grey with a gradient."""
    x, y = np.meshgrid((np.arange(width_px) + 0.5) / width_px, (np.arange(height_px) + 0.5) / height_px)
    rgb = np.stack([90 + 40 * x, 110 + 20 * y, 120 + 0 * x], axis=-1)
    rgb[(x - xy[0]) ** 2 + (y - xy[1]) ** 2 < 0.06**2] = (210, 30, 30)
    return rgb.astype(np.uint8)


def keypoints(xy: np.ndarray) -> np.ndarray:
    """Points [n 2] on the disc, in 0..1."""
    angle = np.arange(KEY_PATCHES) * 2 * np.pi / KEY_PATCHES
    return np.clip(xy + 0.03 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.0, 1.0)


def disc_episode(seed: int, size_px: int = 224, length: int = 8) -> EpisodeArrays:
    """One demonstration as arrays."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0.15, 0.85, size=2)
    share = np.linspace(0.0, 1.0, length)[:, None]
    start = np.array([0.45, 0.0, 0.4]) + rng.normal(0, 0.02, 3)
    position = (1 - share) * start + share * target_m(xy)
    points = keypoints(xy)
    cells = grid_cells(points * size_px - 0.5, size_px, size_px)
    action = np.concatenate([position, np.tile(DOWN_6D, (length, 1)), np.full((length, 1), 0.02)], axis=1)
    joints = np.concatenate([position, np.zeros((length, 4))], axis=1)
    return EpisodeArrays(
        image=np.stack([picture(xy, size_px, size_px)] * length),
        row_col=np.stack([cells] * length),
        xy=np.stack([points.astype(np.float32)] * length),
        visible=np.ones((length, KEY_PATCHES), dtype=bool),
        joint_position_rad=joints.astype(np.float32),
        action=action.astype(np.float32),
        stamp_ns=np.arange(length) * DT_NS,
        task="disc",
    )


def disc_observation(seed: int, stamp_ns: int) -> Observation:
    """One observation as the run time sees it."""
    xy = np.random.default_rng(seed).uniform(0.15, 0.85, size=2)
    frame = CameraFrame(stamp_ns, "camera", picture(xy, WIDTH_PX, HEIGHT_PX), np.eye(3))
    xy_px = keypoints(xy) * (WIDTH_PX, HEIGHT_PX) - 0.5
    patches = KeyPatches(
        stamp_ns,
        grid_cells(xy_px, WIDTH_PX, HEIGHT_PX),
        xy_px,
        np.ones(KEY_PATCHES, dtype=bool),
        np.full(KEY_PATCHES, TrackHealth.TRACKED),
        np.zeros(KEY_PATCHES, dtype=np.int64),
    )
    return Observation(frame, patches, robot_state(stamp_ns))


def robot_state(stamp_ns: int) -> RobotState:
    """The robot at rest."""
    joints = np.array([0.1, -0.2, 0.3, -2.0, 0.0, 1.5, 0.7])
    return RobotState(stamp_ns, joints, np.zeros(7), np.eye(4), 0.02)


def demonstrated(stamp_ns: int, x_m: float = 0.4) -> ActionChunk:
    """One demonstrated action."""
    return ActionChunk(stamp_ns, 0.1, np.array([[x_m, 0.0, 0.2]]), DOWN_6D[None], np.array([0.02]))


def write_bag(
    path: Path,
    stamps_ns: list[int],
    task: str = "disc",
    without: str = "",
    frames_between: int = 2,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Record demonstrated steps at `stamps_ns` with frames between them; leave out one kind of message."""
    with BagWriter(path, {"task": task} | (metadata or {})) as bag:
        for k, stamp_ns in enumerate(stamps_ns):
            for j in range(frames_between + 1):
                observation = disc_observation(k, stamp_ns + j * DT_NS // (frames_between + 1))
                if without != "frame":
                    bag.frame(observation.frame)
                if without != "key_patches":
                    bag.key_patches(observation.key_patches)
                if without != "robot_state":
                    bag.robot_state(robot_state(observation.stamp_ns))
                if j == 0 and without != "demonstrated_action":
                    bag.demonstrated_action(demonstrated(stamp_ns, 0.4 + 0.01 * k))
    return path


def random_batch(
    size: int, image_px: int, horizon: int, seed: int = 0, points: int = 256
) -> dict[str, torch.Tensor]:
    """A batch of noise with plausible shapes and types, and every key that some policy needs."""
    g = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(0, 256, (size, 3, image_px, image_px), generator=g, dtype=torch.uint8),
        "row_col": torch.randint(0, 28, (size, KEY_PATCHES, 2), generator=g),
        "xy": torch.rand(size, KEY_PATCHES, 2, generator=g),
        "visible": torch.rand(size, KEY_PATCHES, generator=g) > 0.3,
        "joint_position": torch.randn(size, 7, generator=g),
        "action": torch.randn(size, horizon, 10, generator=g),
        "action_valid": torch.ones(size, horizon, dtype=torch.bool),
        "points": torch.rand(size, points, 3, generator=g) - torch.tensor([0.0, 0.5, 0.0]),
    }
