"""Seconds per training step of every policy on synthetic demonstrations, batch of 64.

    OMP_WAIT_POLICY=PASSIVE python scripts/time_training.py [--policies glue,act] [--threads 1] [--device cpu]

The processor time tells more than the time on the clock where other programs run; with one thread it is about what a
step takes on an idle core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from glue_perception.nets.compute import Device
from glue_policy.data.dataset import ChunkDataset
from glue_policy.data.episodes import EpisodeArrays
from glue_policy.policies import POLICIES
from glue_policy.policies.base import Policy
from glue_policy.policies.dp3.configuration_dp3 import Dp3Config
from glue_policy.training.config import TrainConfig
from glue_policy.training.start import starting_policy
from glue_policy.training.trainer import Trainer

KEY_PATCHES = 15
STEPS = 25
EPISODES = 8
WARM_UP_STEPS = 2


def main() -> None:
    """Time every policy in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", type=Device, default=Device.CPU)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    base = TrainConfig(
        preset=args.preset, torch_threads=args.threads, device=args.device, batch_size=args.batch_size
    )
    print("policy          parameters   processor s/step   clock s/step")
    for name in args.policies.split(","):
        measure(name, replace(base, policy=name), args.steps)
        if name == "glue":
            cached = replace(base, policy=name, local_variants=4, cache_local_features=True)
            measure("glue, cached", cached, args.steps)


def measure(label: str, config: TrainConfig, steps: int) -> None:
    """Print a line: a longer run less a shorter one, so that beginning and end do not count."""
    clock, processor = [], []
    for total in (WARM_UP_STEPS, WARM_UP_STEPS + steps):
        run_config = replace(config, steps=total)
        policy = starting_policy(run_config)
        dataset = ChunkDataset([episode(seed, policy) for seed in range(EPISODES)], policy.config.horizon)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(run_config, policy, dataset, Path(folder), {})
            begin = time.monotonic(), time.process_time()
            trainer.run()
            clock.append(time.monotonic() - begin[0])
            processor.append(time.process_time() - begin[1])
    parameters = sum(p.numel() for p in policy.parameters()) / 1e6
    each = [(long - short) / steps for short, long in (processor, clock)]
    print(f"{label:<16}{parameters:8.2f} M   {each[0]:16.3f}   {each[1]:12.3f}", flush=True)


def episode(seed: int, policy: Policy) -> EpisodeArrays:
    """Return a demonstration of noise with what the policy reads."""
    rng = np.random.default_rng(seed)
    size, config = policy.image_size_px, policy.config
    points = config.cloud.num_points if isinstance(config, Dp3Config) else 1
    return EpisodeArrays(
        image=rng.integers(0, 256, (STEPS, size, size, 3), dtype=np.uint8),
        row_col=rng.integers(0, 28, (STEPS, KEY_PATCHES, 2)),
        xy=rng.random((STEPS, KEY_PATCHES, 2), dtype=np.float32),
        visible=rng.random((STEPS, KEY_PATCHES)) > 0.2,
        joint_position_rad=rng.random((STEPS, 7), dtype=np.float32),
        action=rng.random((STEPS, 10), dtype=np.float32),
        stamp_ns=np.arange(STEPS) * 100_000_000,
        task="noise",
        points=rng.random((STEPS, points, 3), dtype=np.float32),
    )


if __name__ == "__main__":
    main()
