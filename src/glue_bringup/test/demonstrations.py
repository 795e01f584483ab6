"""A short demonstration as its messages, sound unless a test spoils it; as a program it records until killed."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from glue_perception.geometry import make_transform, rotation_6d_from_matrix
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

T0_NS = 1_700_000_000_000_000_000
K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
DOWN = np.diag([1.0, -1.0, -1.0])
FRAMES_PER_ACTION = 3


def stamp_ns(k: int) -> int:
    return T0_NS + k * 100_000_000 // FRAMES_PER_ACTION


def position_m(k: int) -> np.ndarray:
    return np.array([0.4 + 0.002 * k, 0.0, 0.4 - 0.003 * k])


def frame(k: int, t_ns: int, size: tuple[int, int] = (48, 64)) -> CameraFrame:
    rgb = np.random.default_rng(k).integers(0, 256, (*size, 3), dtype=np.uint8)
    return CameraFrame(t_ns, "camera", rgb, K)


def state(
    k: int, t_ns: int, frozen: tuple[int, ...] = (), width_m: float = 0.04, force_n: float | None = None
) -> RobotState:
    joints = 0.01 * k + 0.1 * np.arange(7)
    for joint in frozen:
        joints[joint] = 0.5
    wrench = None if force_n is None else np.array([0.0, 0.0, force_n, 0.0, 0.0, 0.0])
    return RobotState(t_ns, joints, np.full(7, 0.3), make_transform(DOWN, position_m(k)), width_m, wrench)


def patches(k: int, t_ns: int) -> KeyPatches:
    one = np.zeros(1, np.int64)
    return KeyPatches(t_ns, np.array([[5, 4]]), np.array([[10.0, 10 + 0.1 * k]]), np.ones(1, bool), one, one)


def action(k: int, t_ns: int, width_m: float = 0.04) -> ActionChunk:
    return ActionChunk(
        t_ns, 0.1, position_m(k)[None], rotation_6d_from_matrix(DOWN)[None], np.array([width_m])
    )


def play(recorder, frames: int = 60, spoil=None) -> None:
    """Hand over a demonstration. `spoil(kind, k)` returns None to leave a message out, else keywords to change it."""
    spoil = spoil or (lambda kind, k: {})
    for k in range(frames):
        t_ns = stamp_ns(k)
        if (change := spoil("frame", k)) is not None:
            recorder.frame(frame(k, t_ns, **change))
            recorder.key_patches(patches(k, t_ns))
        if (change := spoil("state", k)) is not None:
            skew_ns = change.pop("skew_ns", 1_000_000)
            recorder.robot_state(state(k, t_ns, **change), measured_ns=t_ns + skew_ns)
        if k % FRAMES_PER_ACTION == 0 and (change := spoil("action", k)) is not None:
            recorder.demonstrated_action(action(k, t_ns, **change))
        recorder.target(t_ns, make_transform(DOWN, position_m(k)))


def record_until_killed(path: Path) -> None:
    """Record in real time at 30 Hz and 100 Hz and say the newest stamp handed over."""
    from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder

    recorder = DemonstrationRecorder(path, {"task": "push_button"})
    recorder.start()
    begin_s = time.monotonic()
    k = 0
    while True:
        t_ns = time.time_ns()
        recorder.frame(frame(k, t_ns, (240, 320)))
        recorder.robot_state(state(k, t_ns), measured_ns=t_ns)
        recorder.target(t_ns, make_transform(DOWN, position_m(0)))
        if k % FRAMES_PER_ACTION == 0:
            recorder.demonstrated_action(action(k, t_ns))
        os.write(1, f"{t_ns}\n".encode())
        k += 1
        time.sleep(max(0.0, begin_s + k / 30 - time.monotonic()))


if __name__ == "__main__":
    record_until_killed(Path(sys.argv[1]))
