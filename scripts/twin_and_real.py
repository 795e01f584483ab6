"""Put the twin's first frame of a task beside the first frame of a clip of the real robot, as one JPEG.

python scripts/twin_and_real.py stack_block clips/stack-glue.mp4 docs/images/twin_and_real_stack_block.jpg --seed 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from glue_bringup.sim.sync_twin import SyncTwin

HEIGHT_PX = 400
QUALITY = 85


def main() -> None:
    """Read the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("clip", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found, real = cv2.VideoCapture(str(args.clip)).read()
    if not found:
        raise SystemExit(f"{args.clip} holds no frame that OpenCV can read")
    with SyncTwin(args.task, args.seed) as twin:
        simulated = twin.render().rgb[:, :, ::-1]
    panels = [
        cv2.resize(
            image, None, fx=HEIGHT_PX / len(image), fy=HEIGHT_PX / len(image), interpolation=cv2.INTER_AREA
        )
        for image in (simulated, real)
    ]
    cv2.imwrite(str(args.output), np.hstack(panels), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
