"""LeRobot's Diffusion Policy, timed: a script for an interpreter that has LeRobot; prints JSON.

Its network at our setting: ResNet-18 on one image of 224 x 224, one observation step, a U-Net of the paper preset's
widths, horizon 16; DDIM steps and threads as given on the command line.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time


def main() -> None:
    """Time the network's chunk from an observation."""
    threads, steps, repetitions = (int(text) for text in sys.argv[1:4])
    import torch
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionModel

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = DiffusionConfig(
        n_obs_steps=1,
        horizon=16,
        n_action_steps=8,
        noise_scheduler_type="DDIM",
        num_inference_steps=steps,
        down_dims=(256, 512, 1024),
        crop_shape=None,
        pretrained_backbone_weights=None,
        device="cpu",
        input_features={
            "observation.images.camera": PolicyFeature(FeatureType.VISUAL, (3, 224, 224)),
            "observation.state": PolicyFeature(FeatureType.STATE, (7,)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (10,))},
    )
    model = DiffusionModel(config).eval()
    batch = {
        "observation.images": torch.rand(1, 1, 1, 3, 224, 224),
        "observation.state": torch.rand(1, 1, 7),
    }
    durations_ms = []
    with torch.inference_mode():
        for _ in range(repetitions + 1):
            start = time.perf_counter()
            model.generate_actions(batch)
            durations_ms.append((time.perf_counter() - start) * 1e3)
    durations_ms = sorted(durations_ms[1:])
    print(
        json.dumps(
            {
                "median_ms": round(statistics.median(durations_ms), 3),
                "p95_ms": round(durations_ms[math.ceil(0.95 * len(durations_ms)) - 1], 3),
                "parameters_million": round(sum(p.numel() for p in model.parameters()) / 1e6, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
