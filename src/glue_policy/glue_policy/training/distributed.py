"""Several processes, one training run: the processes of torchrun, or one alone.

Every process holds the whole network and computes its share of each batch's parts; gradients are summed. The
processes agree after every step on whether to go on, so none waits for one that has left.
"""

from __future__ import annotations

import os
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, distributed, nn

from glue_perception.errors import ConfigError
from glue_perception.nets.compute import Device
from glue_perception.nets.loading import torch_device

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: the first one's evaluations take their time."""


class Workers:
    """The processes of this run, as torchrun's environment (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`) describes them.

    Enter it before the first collective call. Without that environment it is one process, and nothing is sent.

    Args:
        device: With CUDA every process of a machine takes the GPU of its `LOCAL_RANK`.

    Attributes:
        rank: Of this process, from 0; only rank 0 writes files and speaks.
        size: Number of processes.
        device: Where the network of this process lives.

    Raises:
        ConfigError: CUDA is asked for, and there is none or not enough.
    """

    def __init__(self, device: Device = Device.AUTO) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = _device(device, int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def device_name(self) -> str:
        """What the network of this process runs on, in words."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def __enter__(self) -> Self:
        if self.size > 1:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            options: dict[str, Any] = {"device_id": self.device} if backend == "nccl" else {}
            distributed.init_process_group(backend, timeout=PATIENCE, **options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error the others may wait in another call: leaving without ceremony ends their wait.
        if self.size > 1 and (kind is None or issubclass(kind, KeyboardInterrupt)):
            distributed.destroy_process_group()

    def share(self, parts: int) -> range:
        """Return which of a batch's parts this process computes.

        Raises:
            ConfigError: the parts cannot be shared out evenly.
        """
        if parts % self.size:
            raise ConfigError(
                f"micro_batches is {parts}, which {self.size} processes cannot share evenly; "
                f"give --micro-batches {self.size} or a multiple of it"
            )
        each = parts // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def sum_gradients(self, module: nn.Module) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(flat)
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if self.size > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value

    def largest(self, *values: float) -> list[float]:
        """Return the largest of each value over the processes."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
        return [float(value) for value in tensor.tolist()]

    def copy_first(self, module: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.size > 1:
            for value in module.state_dict().values():
                distributed.broadcast(value, src=0)

    def wait(self) -> None:
        """Return when all processes have come here."""
        self.largest(0.0)


def _device(wanted: Device, local_rank: int) -> torch.device:
    device = torch_device(wanted)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise ConfigError(
            f"{local_rank + 1} processes or more share this machine's {count} GPUs; start {count}"
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device
