"""Every choice of a training run; saved beside its results."""

from __future__ import annotations

from dataclasses import dataclass

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation of one policy.

    AdamW, a cosine learning rate with warm-up and EMA are Diffusion Policy's choices; the paper gives only the number
    of epochs.

    Attributes:
        preset: Of the architecture.
        steps: Optimiser steps in all; the learning rate's schedule runs over them.
        max_minutes: Stop earlier; the learning rate's schedule then ends with the time. None for no limit.
        batch_size: Observations per step.
        learning_rate: Peak.
        weight_decay: Of AdamW.
        warmup_steps: Linear rise of the learning rate.
        ema_decay: Of the averaged weights that are saved.
        gradient_clip: Norm.
        bfloat16: Mixed precision in the encoders.
        torch_threads: Threads of the network.
        seed: Of weights, batches, augmentation and noise.
        checkpoint_every_s: Time between saved states.
    """

    preset: str = "tiny"
    steps: int = 3500
    max_minutes: float | None = None
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    ema_decay: float = 0.998
    gradient_clip: float = 1.0
    bfloat16: bool = True
    torch_threads: int = 2
    seed: int = 0
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "learning_rate",
            "gradient_clip",
            "torch_threads",
            "checkpoint_every_s",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ConfigError(f"max_minutes must be positive, not {self.max_minutes}")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ConfigError(f"ema_decay must lie in 0..1, not {self.ema_decay}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, not {self.seed}")
