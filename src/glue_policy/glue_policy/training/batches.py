"""Which observations a step sees, as a function of (seed, step) alone, brought to the training's device."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glue_policy.data.dataset import ChunkDataset
from glue_policy.policies.base import Batch
from glue_policy.training.config import TrainConfig
from glue_policy.training.distributed import Workers


@dataclass(frozen=True, eq=False)
class Part:
    """One of the equal parts of a step's batch.

    Attributes:
        row: Which rows [b] of the training set.
        batch: Those rows, on the training's device.
        seed: Of everything random in this part.
    """

    row: Tensor
    batch: Batch
    seed: int


class Batches:
    """This process's parts of every step's batch.

    With CUDA a thread reads the next step's rows while the GPU works; on a CPU it would only compete for the cores.

    Args:
        dataset: The training set.
        config: `batch_size`, `micro_batches` and `seed` count.
        workers: The processes that share the parts.
        keys: Of the observation, that the policy reads.

    Raises:
        ConfigError: the parts cannot be shared out evenly.
    """

    def __init__(
        self, dataset: ChunkDataset, config: TrainConfig, workers: Workers, keys: frozenset[str]
    ) -> None:
        self._dataset = dataset
        self._keys = keys
        self._config = config
        self._device = workers.device
        self._mine = workers.share(config.micro_batches)
        self._reader = ThreadPoolExecutor(1) if self._device.type == "cuda" else None
        self._ahead: tuple[int, list[Future[Batch]]] | None = None

    def parts(self, step: int) -> Iterator[Part]:
        """Yield this process's parts of the batch of a step."""
        rows, seeds = self._draw(step)
        if self._reader is None:
            for part in self._mine:
                yield Part(rows[part], self._dataset.batch(rows[part], self._keys), seeds[part])
            return
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = (step, self._read(self._reader, step))
        ready = self._ahead[1]
        self._ahead = (step + 1, self._read(self._reader, step + 1))
        for part, future in zip(self._mine, ready, strict=True):
            batch = {name: v.to(self._device, non_blocking=True) for name, v in future.result().items()}
            yield Part(rows[part], batch, seeds[part])

    def close(self) -> None:
        """End the thread."""
        if self._reader is not None:
            self._reader.shutdown(cancel_futures=True)

    def _draw(self, step: int) -> tuple[tuple[Tensor, ...], list[int]]:
        config = self._config
        rng = np.random.default_rng([config.seed, step])
        rows = torch.from_numpy(rng.integers(len(self._dataset), size=config.batch_size))
        seeds: list[int] = rng.integers(2**62, size=config.micro_batches).tolist()
        return rows.chunk(config.micro_batches), seeds

    def _read(self, reader: ThreadPoolExecutor, step: int) -> list[Future[Batch]]:
        rows, _ = self._draw(step)
        return [reader.submit(self._pinned, rows[part]) for part in self._mine]

    def _pinned(self, rows: Tensor) -> Batch:
        return {name: value.pin_memory() for name, value in self._dataset.batch(rows, self._keys).items()}
