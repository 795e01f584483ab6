"""Every choice of a training run; saved beside its results."""

from __future__ import annotations

from dataclasses import dataclass, field

from glue_perception.config import to_mapping
from glue_perception.errors import ConfigError
from glue_perception.nets.compute import Device, Precision
from glue_policy.data.augmentation import AugmentationConfig

CHANGEABLE = (
    "max_minutes",
    "torch_threads",
    "device",
    "checkpoint_every_s",
    "cache_local_features",
    "tensorboard",
)
"""Settings that may differ between the parts of one run: where and how fast it runs, not what it learns."""


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation of one policy.

    AdamW, a cosine learning rate with warm-up and EMA are Diffusion Policy's choices; the paper gives only the number
    of epochs, and that the best of the evaluated ones counts (V-A).

    Attributes:
        policy: Name in the registry of policies.
        preset: Of the policy's architecture.
        init_from: Checkpoint (directory or shipped name) whose weights, architecture and normalisation a new run
            starts with; `preset` then has no say. Empty for a fresh network.
        steps: Optimiser steps in all; the learning rate's schedule runs over them.
        max_minutes: Stop earlier; the learning rate's schedule then ends with the time. None for no limit.
        batch_size: Observations per step, over all processes together.
        micro_batches: Equal parts of a batch, whose gradients are averaged (gradient accumulation). Each part has
            random numbers of its own, so it does not matter which process computes it: as many processes as divide
            this number give the same run.
        learning_rate: Peak.
        weight_decay: Of AdamW.
        warmup_steps: Linear rise of the learning rate.
        ema_decay: Of the averaged weights that are saved and evaluated.
        gradient_clip: Norm.
        precision: Of the forward and backward pass, by autocast; weights, their average and the optimiser stay in
            float32. float16 comes with a loss scaler and needs CUDA.
        device: Where it runs; `auto` takes CUDA where there is one.
        torch_threads: Threads of the network on a CPU, per process.
        seed: Of weights, batches, augmentation and noise.
        checkpoint_every_s: Time between saved states at least; stretched where saving would take more than a
            twentieth of the time.
        evaluate_every: Steps between evaluations of the averaged weights; 0 for none. The last step is evaluated too.
        evaluate_episodes: Episodes per evaluation.
        local_variants: What a frozen local encoder sees. 0: the image that is augmented anew in every step, as the
            global encoder does. K > 0: one of K fixed versions of each image, the recorded one and K - 1 with other
            colours, so that its features are a finite set.
        cache_local_features: Compute that set once and keep it beside the training set; needs `local_variants`.
            Does not change the loss.
        tensorboard: Write TensorBoard event files too.
        augmentation: How strongly images and key-patches are changed.

    Raises:
        ConfigError: an impossible value or combination.
    """

    policy: str = "glue"
    preset: str = "tiny"
    init_from: str = ""
    steps: int = 3500
    max_minutes: float | None = None
    batch_size: int = 64
    micro_batches: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    ema_decay: float = 0.998
    gradient_clip: float = 1.0
    precision: Precision = Precision.BFLOAT16
    device: Device = Device.AUTO
    torch_threads: int = 2
    seed: int = 0
    checkpoint_every_s: float = 60.0
    evaluate_every: int = 0
    evaluate_episodes: int = 20
    local_variants: int = 0
    cache_local_features: bool = False
    tensorboard: bool = False
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "micro_batches",
            "learning_rate",
            "gradient_clip",
            "torch_threads",
            "checkpoint_every_s",
            "evaluate_episodes",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("seed", "warmup_steps", "weight_decay", "evaluate_every", "local_variants"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ConfigError(f"max_minutes must be positive, not {self.max_minutes}")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ConfigError(f"ema_decay must lie in 0..1, not {self.ema_decay}")
        if self.batch_size % self.micro_batches:
            raise ConfigError(
                f"batch_size {self.batch_size} must be a multiple of micro_batches, which is {self.micro_batches}"
            )
        if self.precision is Precision.FLOAT16 and self.device is Device.CPU:
            raise ConfigError("precision float16 needs CUDA; take bfloat16 on a CPU")
        if self.cache_local_features and not self.local_variants:
            raise ConfigError(
                "cache_local_features needs local_variants of at least 1: with 0 every step changes the image that "
                "the local encoder sees, and there is nothing to keep"
            )

    def lasting(self) -> dict[str, object]:
        """Return the settings that all parts of one run must share."""
        return {name: value for name, value in to_mapping(self).items() if name not in CHANGEABLE}
