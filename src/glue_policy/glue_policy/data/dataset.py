"""Demonstrations to batches of observations with their action chunks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glue_perception.errors import BagError
from glue_policy.data.episodes import EpisodeArrays
from glue_policy.data.from_bags import PointCloudSource, training_set_of
from glue_policy.data.training_set import TrainingSet, check_array_name
from glue_policy.policies.base import Batch


class ChunkDataset:
    """All steps of all demonstrations; a sample is one observation and the `horizon` actions from it on.

    Beyond an episode's end the last action is repeated and marked invalid. A batch reads only its own rows.

    Args:
        source: A training set, or episodes (at least one; all of one task and one number of key-patches).
        horizon: Actions per chunk.

    Raises:
        BagError: no episodes, or episodes that do not go together.
    """

    def __init__(self, source: TrainingSet | Sequence[EpisodeArrays], horizon: int) -> None:
        self._set = source if isinstance(source, TrainingSet) else TrainingSet.from_episodes(source)
        self._attached: dict[str, np.ndarray] = {}
        self._steps_ahead = np.arange(horizon)
        self._last_step = np.repeat(np.cumsum(self._set.lengths), self._set.lengths) - 1

    def __len__(self) -> int:
        return len(self._set)

    @property
    def task(self) -> str:
        """Of all demonstrations."""
        return self._set.task

    @property
    def num_episodes(self) -> int:
        """How many demonstrations there are."""
        return len(self._set.lengths)

    @property
    def fingerprint(self) -> str:
        """Hash of the demonstrations' content, see `TrainingSet`; it does not depend on the horizon."""
        return self._set.fingerprint

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The set's arrays and the attached ones [t ...], memory-mapped where they lie on disk."""
        return {**self._set.arrays, **self._attached}

    @property
    def actions(self) -> Tensor:
        """All actions [t 10], for the normalisation."""
        return torch.from_numpy(np.array(self._set.arrays["action"]))

    @property
    def joint_positions(self) -> Tensor:
        """All joint positions [t 7], for the normalisation."""
        return torch.from_numpy(np.array(self._set.arrays["joint_position"]))

    def cache_path(self, name: str) -> Path | None:
        """Return where an array [t ...] computed from these steps may be kept as .npy; None: not on disk.

        Write it under another name first and rename it, then `attach` it opened by memory map.
        """
        return self._set.cache_path(check_array_name(name))

    def attach(self, name: str, rows: np.ndarray) -> None:
        """Add a per-step array [t ...]: from now on batches hold its rows under `name`.

        Raises:
            BagError: another number of steps, or a name that is taken.
        """
        if check_array_name(name) in self._set.arrays or name in ("action", "action_valid"):
            raise BagError(f"the training set has an array {name!r} already")
        if len(rows) != len(self):
            raise BagError(f"{name} holds {len(rows)} steps, the training set {len(self)}; compute it anew")
        self._attached[name] = rows

    def batch(self, index: Tensor, keys: Collection[str] | None = None) -> Batch:
        """Return the samples of `index` [b].

        Args:
            index: Which rows.
            keys: Of the observation; None for all. Others are not read from the disk.
        """
        rows = index.numpy()
        steps = rows[:, None] + self._steps_ahead
        last = self._last_step[rows][:, None]
        batch = {
            name: torch.from_numpy(np.ascontiguousarray(values[rows]))
            for name, values in self.arrays.items()
            if name not in ("action", "stamp_ns") and (keys is None or name in keys)
        }
        if "row_col" in batch:
            batch["row_col"] = batch["row_col"].long()
        batch["action"] = torch.from_numpy(self._set.arrays["action"][np.minimum(steps, last)])
        batch["action_valid"] = torch.from_numpy(steps <= last)
        return batch


def load_dataset(
    directory: Path,
    image_size_px: int,
    horizon: int,
    dt_s: float,
    points: PointCloudSource | None = None,
) -> ChunkDataset:
    """Return the successful demonstrations in the sub-folders of `directory`; see `training_set_of`.

    Args:
        directory: Holds a folder per bag.
        image_size_px: Side of the policy's images.
        horizon: Actions per chunk.
        dt_s: Time between steps.
        points: How to make point clouds from depth, for policies that need them.

    Raises:
        BagError: bags are unreadable or do not go together, or none is a success.
    """
    return ChunkDataset(training_set_of(directory, image_size_px, dt_s, points), horizon)
