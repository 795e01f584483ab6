"""Run by an interpreter that has LeRobot: opens a dataset with LeRobot's own class and keeps what it gives.

python read_with_lerobot.py DATASET OUT.npz
"""

import sys

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

CAMERA = "observation.images.camera"


def main(root: str, out: str) -> None:
    dataset = LeRobotDataset("local/test", root=root)
    try:
        items = [dataset[k] for k in range(len(dataset))]
    except (RuntimeError, AttributeError, ImportError) as error:
        if dataset.meta.video_keys:
            print(f"LeRobot cannot decode video here: {' '.join(str(error).split())[:300]}", file=sys.stderr)
            sys.exit(77)
        raise
    ahead = LeRobotDataset("local/test", root=root, delta_timestamps={"action": [0.0, 0.1, 0.2]})
    first_length = int(dataset.meta.episodes[0]["length"])
    window = ahead[first_length - 2]
    np.savez(
        out,
        episodes=dataset.num_episodes,
        length=[int(row["length"]) for row in dataset.meta.episodes],
        task=[item["task"] for item in items],
        action=np.stack([item["action"].numpy() for item in items]),
        state=np.stack([item["observation.state"].numpy() for item in items]),
        stamp_ns=np.array([int(item["glue.stamp_ns"]) for item in items]),
        image=np.stack(
            [np.round(item[CAMERA].numpy().transpose(1, 2, 0) * 255).astype(np.uint8) for item in items]
        ),
        action_mean=dataset.meta.stats["action"]["mean"],
        window=window["action"].numpy(),
        window_is_pad=window["action_is_pad"].numpy(),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
