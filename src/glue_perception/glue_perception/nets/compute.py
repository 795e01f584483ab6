"""Where networks run and in which numbers. Imports no torch, so that configurations can be read without it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Device(Enum):
    """Where networks run: AUTO takes CUDA where there is one, else the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(Enum):
    """Number format of weights and activations. The half formats are meant for CUDA; results come out as float32."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Compute:
    """Both together.

    Attributes:
        device: Where networks run.
        precision: In which numbers.
    """

    device: Device = Device.AUTO
    precision: Precision = Precision.FLOAT32
