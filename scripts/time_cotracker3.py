"""How long CoTracker3 takes per window of 16 frames on this machine, and the flow that carries its answers on."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from glue_perception.errors import GlueError
from glue_perception.nets.compute import Device
from glue_perception.trackers.cotracker3 import CoTracker3Network, load_model, untrained_model
from glue_perception.trackers.cotracker3_config import CoTracker3Config
from glue_perception.trackers.flow_carry import FlowCarry
from glue_perception.trackers.window_network import WindowQueries

SETTINGS: tuple[dict[str, int], ...] = (
    {},
    {"iterations": 3},
    {"support_grid": 0},
    {"input_height_px": 192, "input_width_px": 256},
)
POINTS = np.random.default_rng(1).uniform(40, 440, (15, 2))


def main() -> int:
    """Print one line per setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="scaled_online.pth; random weights if left out")
    parser.add_argument("--device", type=Device, default=Device.AUTO, help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (default 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        model = load_model(args.weights) if args.weights else untrained_model(16)
        _time_flow()
        for values in SETTINGS:
            _time_network(CoTracker3Network(model, CoTracker3Config(**values), args.device), values)
    except GlueError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _time_flow(frames: int = 31) -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(128, 400, (480, 640)), (0, 0), 3)
    gray = [np.roll(noise, k, axis=1).clip(0, 255).astype(np.uint8) for k in range(frames)]
    carry = FlowCarry(640, 480, max_round_trip_px=1.0, max_residual=6.0)
    carry.chain(gray, POINTS)
    wall, work = time.perf_counter(), time.process_time()
    carry.chain(gray, POINTS)
    _report("flow, per frame", wall, work, frames - 1)


def _time_network(network: CoTracker3Network, values: dict[str, int]) -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (network.window_frames, 480, 640, 3), np.uint8))
    queries = WindowQueries(np.arange(len(POINTS)), np.zeros(len(POINTS), int), POINTS)
    for repetition in range(2):
        network.begin(len(POINTS))
        wall, work = time.perf_counter(), time.process_time()
        network.track(images, queries)
        if repetition:
            _report(f"network, per window, {values or 'as published'}", wall, work, 1)


def _report(what: str, wall: float, work: float, count: int) -> None:
    wall_ms, work_ms = (time.perf_counter() - wall) / count * 1e3, (time.process_time() - work) / count * 1e3
    print(f"{what}: {wall_ms:.1f} ms, processor time {work_ms:.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
