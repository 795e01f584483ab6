"""One episode at a glance, as a PNG: a strip of images, and joints, commands, gripper and contact over time."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.errors import BagError, ConfigError
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, RobotState

THUMBNAILS = 8
THUMBNAIL_WIDTH_PX = 240
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind readers tell apart."""


def write_sheet(bag_path: Path, place: Path) -> None:
    """Draw an episode.

    Args:
        bag_path: The bag; an unfinished one is drawn as far as it goes.
        place: The PNG.

    Raises:
        BagError: the bag cannot be read, or lacks images or robot states.
        ConfigError: the file cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedBagWarning)
        with BagReader(bag_path) as bag:
            stamps_ns, strip = _strip(bag)
            states, actions = list(bag.robot_states()), list(bag.demonstrated_actions())
            title = _title(bag)
    if not states:
        raise BagError(f"{bag_path} holds no robot states to draw")
    figure = _figure(title, stamps_ns, strip, states, actions)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(place, dpi=110, format="png")
    except OSError as error:
        raise ConfigError(f"cannot write {place}: {error}") from error


def _title(bag: BagReader) -> str:
    said = bag.metadata
    parts = [bag.path.name, said.get("task", ""), said.get("outcome", "unfinished")]
    line = "   ".join(part for part in parts if part)
    if reason := said.get("refused_because"):
        line += f"\naudit: {reason if len(reason) < 140 else reason[:137] + '...'}"
    return line


def _strip(bag: BagReader) -> tuple[list[int], list[UInt8[np.ndarray, "h w 3"]]]:
    """Return stamps and small images at even distances; only these are kept while the bag is read."""
    stamps = [patches.stamp_ns for patches in bag.key_patches()]
    count = len(stamps) if stamps else sum(1 for _ in bag.frames())
    wanted = set(np.linspace(0, max(count - 1, 0), THUMBNAILS).round().astype(int).tolist())
    stamps_ns, images = [], []
    for index, frame in enumerate(bag.frames()):
        if index in wanted:
            height = round(THUMBNAIL_WIDTH_PX * frame.height_px / frame.width_px)
            small = cv2.resize(frame.rgb, (THUMBNAIL_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
            stamps_ns.append(frame.stamp_ns)
            images.append(small)
    if not images:
        raise BagError(f"{bag.path} holds no images to draw")
    return stamps_ns, images


def _figure(
    title: str,
    stamps_ns: list[int],
    strip: list[UInt8[np.ndarray, "h w 3"]],
    states: list[RobotState],
    actions: list[ActionChunk],
) -> Figure:
    # Only some drivers report what the tool feels, and bags of before hold nothing of it.
    felt = [state for state in states if state.external_wrench is not None]
    rows = 5 if felt else 4
    figure = Figure(figsize=(14, 2.0 + 2.0 * rows), layout="constrained")
    figure.suptitle(title, fontsize=12)
    top, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.3 * rows])[:, 0]
    start_ns = min(stamps_ns[0], states[0].stamp_ns)
    for axes, stamp_ns, image in zip(
        top.subplots(1, len(strip), squeeze=False)[0], stamps_ns, strip, strict=True
    ):
        axes.imshow(image)
        axes.set_title(f"{(stamp_ns - start_ns) / NS_PER_S:.1f} s", fontsize=9)
        axes.axis("off")
    panels = below.subplots(rows, 1, sharex=True)
    _plot_joints(panels[0], panels[1], states, start_ns)
    _plot_position(panels[2], states, actions, start_ns)
    _plot_gripper(panels[3], states, actions, start_ns)
    if felt:
        _plot_force(panels[4], felt, start_ns)
    for panel in panels:
        panel.grid(visible=True, alpha=0.25)
        panel.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8, frameon=False)
        panel.margins(x=0.005)
    panels[-1].set_xlabel("time [s]")
    return figure


def _plot_joints(positions: Any, velocities: Any, states: list[RobotState], start_ns: int) -> None:
    times_s = _times_s(states, start_ns)
    joints = np.array([state.joint_position_rad for state in states])
    speeds = np.array([state.joint_velocity_rad_s for state in states])
    for index, color in enumerate(COLORS):
        positions.plot(
            times_s, joints[:, index] - joints[0, index], color=color, lw=1.2, label=f"joint {index + 1}"
        )
        velocities.plot(times_s, speeds[:, index], color=color, lw=1.0, label=f"joint {index + 1}")
    positions.set_ylabel("joints since start [rad]")
    velocities.set_ylabel("joint velocity [rad/s]")


def _plot_position(panel: Any, states: list[RobotState], actions: list[ActionChunk], start_ns: int) -> None:
    times_s = _times_s(states, start_ns)
    measured = np.array([state.T_base_ee[:3, 3] for state in states])
    origin = measured[0]
    for index, (axis, color) in enumerate(zip("xyz", COLORS, strict=False)):
        panel.plot(
            times_s, 1e3 * (measured[:, index] - origin[index]), color=color, lw=1.3, label=f"{axis} measured"
        )
    if actions:
        commanded = np.array([action.position_m[0] for action in actions])
        for index, (axis, color) in enumerate(zip("xyz", COLORS, strict=False)):
            panel.plot(
                _times_s(actions, start_ns),
                1e3 * (commanded[:, index] - origin[index]),
                ".",
                color=color,
                ms=5,
                label=f"{axis} demonstrated",
            )
    panel.set_ylabel("tool since start [mm]")


def _plot_gripper(panel: Any, states: list[RobotState], actions: list[ActionChunk], start_ns: int) -> None:
    widths_mm = [1e3 * state.gripper_width_m for state in states]
    panel.plot(_times_s(states, start_ns), widths_mm, color=COLORS[0], lw=1.3, label="measured")
    if actions:
        commanded_mm = [1e3 * action.gripper_width_m[0] for action in actions]
        panel.plot(
            _times_s(actions, start_ns), commanded_mm, ".", color=COLORS[1], ms=5, label="demonstrated"
        )
    panel.set_ylabel("gripper width [mm]")
    panel.set_ylim(-4, 88)


def _plot_force(panel: Any, states: list[RobotState], start_ns: int) -> None:
    wrenches = np.array([state.external_wrench for state in states])
    for index, (axis, color) in enumerate(zip("xyz", COLORS, strict=False)):
        panel.plot(_times_s(states, start_ns), wrenches[:, index], color=color, lw=1.0, label=f"force {axis}")
    panel.set_ylabel("force at the tool [N]")


def _times_s(values: Any, start_ns: int) -> list[float]:
    return [(value.stamp_ns - start_ns) / NS_PER_S for value in values]
