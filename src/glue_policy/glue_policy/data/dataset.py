"""Demonstrations in memory, and batches of observations with their action chunks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.errors import BagError
from glue_policy.data.episodes import EpisodeArrays, load_episode
from glue_policy.policies.base import Batch

SUCCESS = "success"
"""Outcome of a demonstration that is worth training on."""


class ChunkDataset:
    """All steps of all demonstrations; a sample is one observation and the `horizon` actions from it on.

    Beyond an episode's end the last action is repeated and marked invalid.

    Args:
        episodes: At least one; all of one task and one number of key-patches.
        horizon: Actions per chunk.

    Raises:
        BagError: no episodes, or episodes that do not go together.
    """

    def __init__(self, episodes: Sequence[EpisodeArrays], horizon: int) -> None:
        if not episodes:
            raise BagError("there are no demonstrations to train on")
        for what in ("task", "num_key_patches"):
            found = {e.task if what == "task" else str(e.row_col.shape[1]) for e in episodes}
            if len(found) > 1:
                raise BagError(f"the demonstrations mix several values of {what}: {', '.join(sorted(found))}")
        self.task = episodes[0].task
        self._image = np.concatenate([e.image for e in episodes])
        self._arrays = {
            "row_col": torch.from_numpy(np.concatenate([e.row_col for e in episodes])),
            "xy": torch.from_numpy(np.concatenate([e.xy for e in episodes])),
            "visible": torch.from_numpy(np.concatenate([e.visible for e in episodes])),
            "joint_position": torch.from_numpy(np.concatenate([e.joint_position_rad for e in episodes])),
        }
        self.actions = torch.from_numpy(np.concatenate([e.action for e in episodes]))
        lengths = [len(e) for e in episodes]
        ends = np.repeat(np.cumsum(lengths), lengths)
        steps = np.arange(len(ends))[:, None] + np.arange(horizon)
        self._chunk_index = torch.from_numpy(np.minimum(steps, ends[:, None] - 1))
        self._chunk_valid = torch.from_numpy(steps < ends[:, None])

    def __len__(self) -> int:
        return len(self._image)

    @property
    def joint_positions(self) -> Tensor:
        """All joint positions [t 7], for the normalisation."""
        return self._arrays["joint_position"]

    def batch(self, index: Tensor) -> Batch:
        """Return the samples of `index` [b]."""
        image = torch.from_numpy(np.ascontiguousarray(self._image[index.numpy()].transpose(0, 3, 1, 2)))
        return {
            "image": image,
            **{name: values[index] for name, values in self._arrays.items()},
            "action": self.actions[self._chunk_index[index]],
            "action_valid": self._chunk_valid[index],
        }


def load_dataset(directory: Path, image_size_px: int, horizon: int, dt_s: float) -> ChunkDataset:
    """Return the successful demonstrations in the sub-folders of `directory`, in the order of their names.

    Bags of failed, aborted or unfinished episodes are named and left out.

    Raises:
        BagError: a bag is unreadable or does not fit, or none is a success.
    """
    bags = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    episodes = []
    for path in tqdm(bags, desc="read", unit="bag", dynamic_ncols=True):
        outcome = _outcome(path)
        if outcome == SUCCESS:
            episodes.append(load_episode(path, image_size_px, dt_s))
        else:
            tqdm.write(f"left out, as its outcome is {outcome}: {path}")
    return ChunkDataset(episodes, horizon)


def _outcome(path: Path) -> str:
    """Return how the episode ended; a bag that says nothing and was not made by our recorder counts as a success."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedBagWarning)
        with BagReader(path) as bag:
            return bag.metadata.get("outcome", "unfinished" if "task_config" in bag.metadata else SUCCESS)
