"""What workers get: frames with a red disc, key-patches, robot states and chunks straight on in x."""

import numpy as np

from glue_bringup.task_config import load_task
from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

DOWN = np.diag([1.0, -1.0, -1.0])
START_M = np.array([0.45, 0.0, 0.4])
TASK = load_task("push_button").for_simulation()
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


def frame(stamp_ns: int, disc: bool = True) -> CameraFrame:
    rgb = np.full((240, 320, 3), 120, np.uint8)
    rows, cols = np.mgrid[:240, :320]
    if disc:
        rgb[(rows - 120) ** 2 + (cols - 160) ** 2 < 30**2] = (210, 15, 15)
    rgb[::16, ::16] = 60
    return CameraFrame(stamp_ns, "camera", rgb, K)


def patches(stamp_ns: int) -> KeyPatches:
    one = np.array([0])
    return KeyPatches(stamp_ns, np.array([[14, 14]]), np.array([[160.0, 120.0]]), np.array([True]), one, one)


def state(stamp_ns: int, x_m: float = 0.45) -> RobotState:
    return RobotState(stamp_ns, np.zeros(7), np.zeros(7), make_transform(DOWN, np.array([x_m, 0, 0.4])), 0.02)


def chunk(stamp_ns: int) -> ActionChunk:
    position = START_M + np.outer(0.1 * np.arange(16), [0.1, 0, 0])
    return ActionChunk(
        stamp_ns, 0.1, position, np.tile(rotation_6d_from_matrix(DOWN), (16, 1)), np.full(16, 0.02)
    )
