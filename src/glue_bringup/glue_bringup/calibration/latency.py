"""Measures a set-up's latencies by a small known motion, several times over, and says how they spread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from glue_bringup.calibration.delay import Signal, delay_s, onset_s, picture_signal
from glue_bringup.calibration.rig import LatencyRig, SeenFrame
from glue_bringup.latency_config import LatencyConfig
from glue_perception.errors import ConfigError, HardwareError, InvalidValueError

SWING_M = 0.03
SWING_HZ = (0.5, 0.8)
"""Two frequencies that hardly repeat, so that a delay is not taken for another that is a period away."""
SETTLE_S = 0.5
_PICTURE_PX = (96, 72)


@dataclass(frozen=True)
class Spread:
    """One latency over several measurements.

    Attributes:
        values_s: Each of them.
    """

    values_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The middle one."""
        return float(np.median(self.values_s))

    @property
    def half_range_s(self) -> float:
        """Half the way from the least to the largest."""
        return (max(self.values_s) - min(self.values_s)) / 2.0


@dataclass(frozen=True)
class LatencyReport:
    """What was measured.

    Attributes:
        measured: By the names of `LatencyConfig`.
        skipped: What could not be measured, and why.
    """

    measured: dict[str, Spread]
    skipped: dict[str, str] = field(default_factory=dict)

    def config(self) -> LatencyConfig:
        """Return the medians; what was not measured is 0."""
        values: dict[str, Any] = {
            name: round(max(spread.median_s, -0.2 if name == "camera_stamp_s" else 0.0), 4)
            for name, spread in self.measured.items()
            if name in LatencyConfig.__dataclass_fields__
        }
        return replace(LatencyConfig(), **values)


@dataclass
class _Recording:
    commanded: list[tuple[float, float]] = field(default_factory=list)
    measured: list[tuple[float, float]] = field(default_factory=list)
    stamps_s: list[float] = field(default_factory=list)
    delivery_s: list[float] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)

    def add(self, seen: SeenFrame) -> None:
        """Keep a frame, small and grey."""
        stamp_s = seen.frame.stamp_ns / 1e9
        grey = cv2.cvtColor(seen.frame.rgb, cv2.COLOR_RGB2GRAY)
        self.stamps_s.append(stamp_s)
        self.delivery_s.append(seen.received_s - stamp_s)
        self.pictures.append(cv2.resize(grey, _PICTURE_PX, interpolation=cv2.INTER_AREA).ravel())


def measure_latencies(
    rig: LatencyRig,
    repeats: int = 3,
    swing_s: float = 4.0,
    on_step: Callable[[str], None] = lambda _: None,
) -> LatencyReport:
    """Swing the tool sideways by 3 cm, then open and close the hand, `repeats` times each.

    Camera: the picture's first principal component against the measured position, both by their stamps; no marker is
    needed, only a camera that sees the arm. Arm: measured against commanded position. Gripper: the time until the
    opening begins to change.

    Args:
        rig: At rest, with 4 cm free on both sides along the base's y.
        repeats: Measurements of each.
        swing_s: Length of one swing.
        on_step: Told what comes next.

    Raises:
        ConfigError: fewer than one repeat or too short a swing.
        HardwareError: arm or gripper fails, or the arm does not follow.
    """
    if repeats < 1 or swing_s < 2.0:
        raise ConfigError(
            f"a calibration needs 1 repeat and 2 s of swing at least, not {repeats} and {swing_s:g}"
        )
    values: dict[str, list[float]] = {}
    skipped: dict[str, str] = {}
    swings: list[_Recording] = []
    openings: list[tuple[Signal, float]] = []
    for k in range(repeats):
        on_step(f"arm and camera, {k + 1} of {repeats}")
        swings.append(_swing(rig, swing_s))
    for k in range(repeats):
        on_step(f"gripper, {k + 1} of {repeats}")
        openings.append(_open_and_close(rig))
    # Judged at the end: an arm under control must not wait for the computation.
    for recording in swings:
        try:
            _judge_arm(recording, values)
        except InvalidValueError as error:
            raise HardwareError(
                f"the arm does not follow its target ({error}); check that it is free, and that this machine "
                "is not busy with something else"
            ) from error
        try:
            _judge_camera(recording, values)
        except InvalidValueError as error:
            skipped["camera"] = f"{error}; does the camera see the arm?"
    for widths, begin_s in openings:
        try:
            values.setdefault("gripper_s", []).append(onset_s(widths, begin_s))
        except InvalidValueError as error:
            skipped["gripper"] = f"{error}; is something between the fingers?"
    return LatencyReport({name: Spread(tuple(v)) for name, v in values.items() if v}, skipped)


def _swing(rig: LatencyRig, swing_s: float) -> _Recording:
    recording = _Recording()
    base = rig.state().T_base_ee.copy()
    rig.frames()  # drop what waited
    begin_s = rig.tick()
    while True:
        now_s = rig.tick()
        elapsed_s = now_s - begin_s - SETTLE_S
        offset_m = _offset_m(elapsed_s, swing_s)
        target = base.copy()
        target[1, 3] += offset_m
        rig.set_target(target)
        state = rig.state()
        recording.commanded.append((now_s, offset_m))
        recording.measured.append((state.stamp_ns / 1e9, float(state.T_base_ee[1, 3])))
        for seen in rig.frames():
            recording.add(seen)
        if elapsed_s > swing_s + SETTLE_S:
            return recording


def _offset_m(elapsed_s: float, swing_s: float) -> float:
    """Return the tool's commanded way: two sines that swell and fade, so that it begins and ends at rest."""
    if not 0.0 < elapsed_s < swing_s:
        return 0.0
    fade = math.sin(math.pi * elapsed_s / swing_s) ** 2
    return SWING_M * fade * sum(math.sin(2 * math.pi * hz * elapsed_s) for hz in SWING_HZ) / len(SWING_HZ)


def _judge_arm(recording: _Recording, values: dict[str, list[float]]) -> None:
    commanded, measured = _signal(recording.commanded), _signal(recording.measured)
    values.setdefault("arm_s", []).append(delay_s(commanded, measured, min_s=-0.05))


def _judge_camera(recording: _Recording, values: dict[str, list[float]]) -> None:
    if not recording.pictures:
        raise InvalidValueError("no frame came")
    pictures = np.stack(recording.pictures).astype(np.float64)
    seen = list(zip(recording.stamps_s, picture_signal(pictures), strict=True))
    stamp_s = delay_s(_signal(recording.measured), _signal(seen), min_s=-0.2, max_s=0.3)
    values.setdefault("camera_stamp_s", []).append(stamp_s)
    values.setdefault("camera_delivery_s", []).append(float(np.median(recording.delivery_s)))


def _open_and_close(rig: LatencyRig) -> tuple[Signal, float]:
    """Return the opening over time and when the first command was given; leaves the hand as it was."""
    state = rig.state()
    start_m, hold = state.gripper_width_m, state.T_base_ee
    goal_m = start_m - 0.03 if start_m > 0.04 else start_m + 0.03
    widths: list[tuple[float, float]] = []
    command_s = 0.0
    for goal in (goal_m, start_m):
        begin_s = now_s = rig.tick()
        rig.command_gripper(goal)
        if goal == goal_m:
            command_s = begin_s
        while now_s < begin_s + 1.5:
            if goal == goal_m:
                widths.append((now_s, rig.state().gripper_width_m))
            rig.set_target(hold)
            now_s = rig.tick()
    return _signal(widths), command_s


def _signal(samples: list[tuple[float, float]]) -> Signal:
    """Return samples as a signal; a state that was read twice counts once."""
    times, values = (np.array(column, dtype=float) for column in zip(*samples, strict=True))
    fresh = np.concatenate([[True], np.diff(times) > 0.0])
    return Signal(times[fresh], values[fresh])
