"""Time and memory of the full profile's stages: networks of the real size with RANDOM weights, so no results.

    python scripts/measure_full_profile.py

Writes the networks (2 GB) into a temporary folder in the real formats, then runs each stage in a process of its own
on one 512 x 512 image. Memory is the peak of the whole process: interpreter, torch and network included. The
processor time tells more than the time on the clock where other programs run; with one thread it is about what an
idle core would take.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZE_PX = 512
STAGES = {
    "detector": "Grounding DINO Swin-T, one query",
    "segmenter": "SAM ViT-B, one box",
    "clip-one": "CLIP ViT-B/16, mask of 1 px: one sub-image",
    "clip": "CLIP ViT-B/16, mask of 7,545 px, with K-means",
    "clip-all": "CLIP, every pixel masked, with K-means",
    "clip-all-at-once": "CLIP, every pixel masked and described",
    "clip-full-map": "CLIP, the paper's full map of 512 x 512 x 768",
    "dinov2": "DINOv2 ViT-B/14, mask of 7,545 px, with K-means",
}


def main() -> None:
    """Write the networks and run every stage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stage", choices=STAGES, help="run this one alone, on networks in --store")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    if args.stage:
        run(args.stage, args.store, args.threads, args.repeats)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_networks(Path(folder))
        print(
            f"{'stage':50} {'load s':>7} {'clock s':>8} {'cpu s':>7} {'peak MB':>8}",
            flush=True,
        )
        for stage in STAGES:
            command = [sys.executable, __file__, "--stage", stage, "--store", folder]
            command += ["--threads", str(args.threads), "--repeats", str(args.repeats)]
            subprocess.run(command, check=True)


def write_networks(root: Path) -> None:
    """Save networks with the shapes of the published ones and random weights."""
    from transformers import (
        BertTokenizer,
        CLIPVisionConfig,
        CLIPVisionModel,
        Dinov2Config,
        Dinov2Model,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        SamConfig,
        SamImageProcessorPil,
        SamModel,
        SwinConfig,
    )

    folder = root / "grounding-dino-tiny"
    swin = SwinConfig(out_indices=[2, 3, 4])
    GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=swin)).save_pretrained(folder)
    GroundingDinoImageProcessorPil().save_pretrained(folder)
    words = {
        0: "[PAD]",
        100: "[UNK]",
        101: "[CLS]",
        102: "[SEP]",
        103: "[MASK]",
        1012: ".",
        2417: "red",
        6462: "button",
    }
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words.get(k, f"[unused{k}]") for k in range(30522)) + "\n")
    BertTokenizer(vocab=str(vocabulary)).save_pretrained(folder)
    SamModel(SamConfig()).save_pretrained(root / "sam-vit-base")
    SamImageProcessorPil().save_pretrained(root / "sam-vit-base")
    CLIPVisionModel(CLIPVisionConfig(patch_size=16)).save_pretrained(root / "clip-vit-base-patch16")
    Dinov2Model(Dinov2Config(image_size=518)).save_pretrained(root / "dinov2-base")


def run(stage: str, store: Path, threads: int, repeats: int) -> None:
    """Load one stage's network, run it a few times and print a line."""
    import torch

    torch.set_num_threads(threads)
    start = time.perf_counter()
    work = build(stage, store)
    load_s = time.perf_counter() - start
    clock, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    print(
        f"{STAGES[stage]:50} {load_s:7.1f} {statistics.median(clock):8.2f} {statistics.median(cpu):7.2f} "
        f"{peak_mb():8.0f}",
        flush=True,
    )


def build(stage: str, store: Path) -> Callable[[], object]:
    """Return what a stage does with one image."""
    from glue_perception.types import Detection

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    if stage == "detector":
        from glue_perception.detectors.grounding_dino import GroundingDinoDetector

        detector = GroundingDinoDetector(store / "grounding-dino-tiny")
        return lambda: detector.propose(image, ["red button"])
    if stage == "segmenter":
        from glue_perception.errors import QueryError
        from glue_perception.segmenters.sam import SamSegmenter

        segmenter = SamSegmenter(store / "sam-vit-base")
        box = Detection("red button", np.array([190.0, 210.0, 320.0, 300.0]), 1.0)

        def segment() -> object:
            try:
                return segmenter.segment(image, [box])
            except QueryError:
                return None  # random networks may find nothing; the work is done

        return segment
    return features(stage, store, image)


def features(stage: str, store: Path, image: np.ndarray) -> Callable[[], object]:
    """Return the work of a feature encoder, with K-means as in `KeypointExtractor` except for the two comparisons."""
    from glue_perception.clustering import nearest_to_centres
    from glue_perception.features.clip import clip_encoder
    from glue_perception.features.dinov2 import dinov2_encoder
    from glue_perception.features.vit_grid_config import Dinov2GridConfig, VitGridConfig
    from glue_perception.keypoint_extractor import thinned

    if stage == "dinov2":
        encoder = dinov2_encoder(store / "dinov2-base", Dinov2GridConfig())
    else:
        encoder = clip_encoder(store / "clip-vit-base-patch16", VitGridConfig())
    rows, cols = np.mgrid[:SIZE_PX, :SIZE_PX]
    mask = ((cols - 256) / 60) ** 2 + ((rows - 256) / 40) ** 2 < 1
    if stage == "clip-one":
        mask = (cols == 10) & (rows == 10)
        return lambda: encoder.encode(image, mask)
    if stage.startswith("clip-"):
        mask = np.ones_like(mask)
    if stage == "clip-full-map":
        return lambda: full_map(encoder, image)
    if stage == "clip-all-at-once":
        return lambda: encoder.encode(image, mask)
    core = thinned(mask, encoder.max_pixels)
    return lambda: nearest_to_centres(encoder.encode(image, core), 15, 0)


def full_map(encoder: object, image: np.ndarray) -> np.ndarray:
    """Return H x W x 768: every sub-image's map upsampled as a whole and put back, as the paper says it."""
    import torch
    from torch.nn import functional

    vit, grid = encoder._encoder, encoder._config.grid  # type: ignore[attr-defined]
    side = SIZE_PX // grid
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (vit.mean, vit.std))
    whole = np.empty((SIZE_PX, SIZE_PX, vit.channels), np.float32)
    with torch.inference_mode():
        for top in range(0, SIZE_PX, side):
            for left in range(0, SIZE_PX, side):
                part = image[top : top + side, left : left + side].copy()
                pixels = torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255
                pixels = functional.interpolate(
                    pixels, (vit.size_px, vit.size_px), mode="bicubic", antialias=True
                )
                tokens = vit.encode((pixels - mean) / std)
                n = int(tokens.shape[1] ** 0.5)
                patches = tokens.transpose(1, 2).reshape(1, -1, n, n)
                large = functional.interpolate(patches, (side, side), mode="bilinear", align_corners=False)
                whole[top : top + side, left : left + side] = large[0].permute(1, 2, 0).numpy()
    return whole


def peak_mb() -> float:
    """Return the most memory that this process ever held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
