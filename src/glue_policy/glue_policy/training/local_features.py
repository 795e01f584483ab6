"""What a frozen local encoder gives for the training set: a finite set, so that it can be computed once and kept.

A frozen encoder's features of an image never change, but training changes the image in every step. With
`local_variants` K the local branch sees one of K fixed versions of each image instead: the recorded one and K - 1
with other colours, each a function of (seed, row, variant). The global image is still augmented anew in every step,
and key-patches are hidden and keypoints jittered as ever, since both come after the encoder. So the features at the
key-patches' cells (rows x K x N x C) say all that training needs; whether they are computed in each step or read
from a file (`cache_local_features`), the loss is the same up to rounding.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from tqdm import tqdm

from glue_perception.errors import CheckpointError, ConfigError
from glue_policy.data.augmentation import COLOUR_DRAWS, jitter_colours
from glue_policy.data.dataset import ChunkDataset
from glue_policy.data.npy_file import NpyAppender, open_rows
from glue_policy.policies.base import LOCAL_FEATURES, Batch, Policy
from glue_policy.training.config import TrainConfig
from glue_policy.training.distributed import Workers
from glue_policy.training.files import replaced_when_complete
from glue_policy.training.precision import MixedPrecision

ROWS_AT_ONCE = 32


@runtime_checkable
class FrozenLocal(Protocol):
    """A policy with a frozen local encoder.

    Attributes:
        local_encoder: Its weights, frozen.
    """

    local_encoder: nn.Module

    def local_features(
        self, image: UInt8[Tensor, "b 3 s s"] | Float[Tensor, "b 3 s s"], row_col: Int[Tensor, "b n 2"]
    ) -> Float[Tensor, "b n c"]:
        """Return the local features at the key-patches' cells, hidden or not."""


class LocalFeatures:
    """Adds the local features of one of K versions of each image to batches.

    Args:
        policy: With a frozen local encoder.
        dataset: The training set.
        config: `local_variants`, `cache_local_features`, `precision` and `seed` count.
        precision: In which the features are computed, cached or not.
        workers: The first one writes the cache, the others wait for it.

    Raises:
        ConfigError: the policy has no frozen local encoder.
        CheckpointError: the cache cannot be written.
    """

    def __init__(
        self,
        policy: Policy,
        dataset: ChunkDataset,
        config: TrainConfig,
        precision: MixedPrecision,
        workers: Workers,
    ) -> None:
        if not isinstance(policy, FrozenLocal):
            raise ConfigError(
                f"policy {policy.name!r} has no frozen local encoder; leave local_variants at 0"
            )
        self._policy: FrozenLocal = policy
        self._dataset = dataset
        self._variants = config.local_variants
        self._seed = config.seed
        self._augmentation = config.augmentation
        self._precision = precision
        self._device = workers.device
        self._kept: np.ndarray | None = None
        if config.cache_local_features:
            path = dataset.cache_path(self._name(config))
            if path is None:
                self._kept = np.concatenate(list(self._blocks()))
            else:
                if workers.is_first and not path.exists():
                    self._write(path)
                workers.wait()
                self._kept = _open(path, len(dataset))

    def add(self, batch: Batch, row: Tensor, generator: torch.Generator) -> Batch:
        """Return the batch with features drawn from each row's versions.

        Args:
            batch: Not augmented yet, on the training's device.
            row: Which rows [b] of the training set it holds.
            generator: On the CPU.
        """
        variant = torch.randint(self._variants, (len(row),), generator=generator)
        if self._kept is None:
            features = self._compute(batch["image"], batch["row_col"], row.tolist(), variant.tolist())
        else:
            features = torch.from_numpy(self._kept[row.numpy(), variant.numpy()]).to(self._device)
        return {**batch, LOCAL_FEATURES: features}

    @torch.no_grad()
    def _compute(
        self, image: Tensor, row_col: Tensor, row: Sequence[int], variant: Sequence[int]
    ) -> Float[Tensor, "b n c"]:
        draws = np.stack([self._draws(r, v) for r, v in zip(row, variant, strict=True)])
        with self._precision.autocast():
            return self._policy.local_features(
                jitter_colours(image, torch.from_numpy(draws), self._augmentation), row_col
            ).float()

    def _draws(self, row: int, variant: int) -> Float[np.ndarray, "5"]:
        if variant == 0:
            return np.zeros(COLOUR_DRAWS, np.float32)
        rng = np.random.default_rng([self._seed, row, variant])
        return rng.uniform(-1.0, 1.0, COLOUR_DRAWS).astype(np.float32)

    def _name(self, config: TrainConfig) -> str:
        """Return a name that differs with everything the features depend on beside the training set."""
        digest = hashlib.sha256()
        for name, value in sorted(self._policy.local_encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        light = config.augmentation
        strengths = (light.brightness, light.contrast, light.channel)
        settings = [self._variants, self._seed, config.precision.value, *strengths]
        digest.update(json.dumps(settings).encode())
        return f"local_features_{digest.hexdigest()[:16]}"

    def _write(self, path: Path) -> None:
        blocks = self._blocks()
        first = next(blocks)
        with (
            replaced_when_complete(path) as partial,
            NpyAppender(partial, np.float32, first.shape[1:]) as file,
        ):
            for block in itertools.chain([first], blocks):
                file.append(block)

    def _blocks(self) -> Iterator[Float[np.ndarray, "t k n c"]]:
        """Yield all features, some rows at a time."""
        rows = len(self._dataset)
        total = rows * self._variants
        with tqdm(total=total, desc="local features", unit="image", dynamic_ncols=True) as bar:
            for start in range(0, rows, ROWS_AT_ONCE):
                row = torch.arange(start, min(start + ROWS_AT_ONCE, rows))
                batch = self._dataset.batch(row, ("image", "row_col"))
                image, row_col = batch["image"].to(self._device), batch["row_col"].to(self._device)
                versions = []
                for variant in range(self._variants):
                    versions.append(self._compute(image, row_col, row.tolist(), [variant] * len(row)))
                    bar.update(len(row))
                yield torch.stack(versions, dim=1).cpu().numpy()


def _open(path: Path, rows: int) -> np.ndarray:
    try:
        kept = open_rows(path)
        if len(kept) != rows:
            raise ValueError(f"{len(kept)} rows, not {rows}")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the cached features in {path} are damaged ({error}); delete the file"
        ) from error
    return kept
