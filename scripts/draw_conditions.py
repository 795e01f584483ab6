"""Draws a task under every condition: in-domain on the left, then the grades, a row for each kind.

    python scripts/draw_conditions.py push_button --out docs/images/ood_push_button.jpg
    python scripts/draw_conditions.py push_button --clips CLIPS --out look.png

With a directory of the authors' clips (docs/real_clips.md) a fifth column shows them at the same size, to compare.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from glue_bringup.sim.ood import ConditionKind, get_condition
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import load_task

KINDS = (ConditionKind.CLUTTER, ConditionKind.OCCLUSION, ConditionKind.LIGHT)
TILE_PX = (320, 240)
CLIPS = {ConditionKind.CLUTTER: "button-glue-clutter.mp4", ConditionKind.LIGHT: "mango-glue-light.mp4"}
PLAIN_CLIP = "button-glue.mp4"
CLIP_FRAME = 60
JPEG_QUALITY = 82


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", nargs="?", default="push_button")
    parser.add_argument("--seed", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--at-ms", type=int, default=1500, help="of the episode, the arm at rest; default: 1500"
    )
    parser.add_argument("--clips", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="F")
    args = parser.parse_args()
    rows = []
    for kind in KINDS:
        tiles = [
            _drawn(args.task, name, args.seed, args.at_ms)
            for name in ("in_domain", *(f"{kind}:{g}" for g in (1, 2, 3)))
        ]
        if args.clips is not None:
            tiles.append(_clip(args.clips / CLIPS.get(kind, PLAIN_CLIP)))
        rows.append(np.hstack(tiles))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if args.out.suffix in {".jpg", ".jpeg"} else []
    cv2.imwrite(str(args.out), np.vstack(rows), options)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


def _drawn(task_name: str, condition: str, seed: int, at_ms: int) -> np.ndarray:
    task = load_task(task_name)
    with SyncTwin(task.task, seed, task.camera, condition=get_condition(condition)) as twin:
        twin.advance(at_ms * 1_000_000)
        picture = twin.render().rgb[:, :, ::-1]
    return _labelled(cv2.resize(picture, TILE_PX, interpolation=cv2.INTER_AREA), condition)


def _clip(path: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_POS_FRAMES, CLIP_FRAME)
    found, picture = capture.read()
    if not found:
        raise SystemExit(f"error: cannot read frame {CLIP_FRAME} of {path}")
    # The clips are wider: as high as a tile, cut at the left, where there is only wall.
    wide = cv2.resize(picture, (TILE_PX[1] * picture.shape[1] // picture.shape[0], TILE_PX[1]))
    return _labelled(wide[:, -TILE_PX[0] :], path.stem)


def _labelled(picture: np.ndarray, text: str) -> np.ndarray:
    labelled = np.ascontiguousarray(picture)
    labelled[:20] = labelled[:20] // 4
    cv2.putText(labelled, text, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    labelled[:, -1] = labelled[-1] = 255
    return labelled


if __name__ == "__main__":
    main()
