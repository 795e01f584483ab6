"""What the configurations of all policies share; light enough to be read without loading torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from glue_perception.config import suggest
from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class PolicyConfig(ABC):
    """What every policy is configured by.

    Attributes:
        horizon: Actions per chunk (Diffusion Policy's setting; the paper is silent).
        n_obs_steps: Observations per chunk; the paper uses one.
        action_time_s: Time between actions; demonstrations are sampled at 10 Hz (paper, V-A).

    Raises:
        ConfigError: an impossible value; the message gives it.
    """

    horizon: int = 16
    n_obs_steps: int = 1
    action_time_s: float = 0.1

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ConfigError(f"horizon must be at least 1, not {self.horizon}")
        if self.n_obs_steps != 1:
            raise ConfigError(f"n_obs_steps must be 1 as in the paper, not {self.n_obs_steps}")
        if not 0.0 < self.action_time_s <= 1.0:
            raise ConfigError(f"action_time_s must lie in 0..1, not {self.action_time_s}")

    @property
    @abstractmethod
    def image_size_px(self) -> int:
        """Side of the square image that the policy takes."""

    @classmethod
    @abstractmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return the presets by name: `tiny` trains on a CPU, `paper` is what the paper compares."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return a preset by name.

        Raises:
            ConfigError: unknown name.
        """
        presets = cls.presets()
        if name not in presets:
            raise ConfigError(f"unknown preset {name!r}.{suggest(name, presets)}")
        return presets[name]


class Prediction(StrEnum):
    """What the denoising network predicts: the noise (Diffusion Policy), or the clean chunk (3D Diffusion Policy)."""

    EPSILON = "epsilon"
    SAMPLE = "sample"


class NoiseScheduler(StrEnum):
    """How noise becomes a chunk: `ddim`, deterministic, few steps (paper, III-C); `ddpm`, noise in every step."""

    DDIM = "ddim"
    DDPM = "ddpm"


@dataclass(frozen=True)
class DiffusionConfig(PolicyConfig):
    """What the policies with Diffusion Policy's action head share.

    Attributes:
        channels: Of the U-Net's levels.
        step_dim: Width of the diffusion step's embedding.
        num_train_timesteps: Steps of the diffusion process.
        num_inference_steps: Denoising steps at run time. DDPM is made for all of `num_train_timesteps`.
        noise_scheduler: See `NoiseScheduler`; training is the same for both.
        prediction: What the U-Net predicts.
    """

    channels: tuple[int, ...] = (256, 512, 1024)
    step_dim: int = 256
    num_train_timesteps: int = 100
    num_inference_steps: int = 10
    noise_scheduler: NoiseScheduler = NoiseScheduler.DDIM
    prediction: Prediction = Prediction.EPSILON

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels or any(c < 8 or c % 8 for c in self.channels):
            raise ConfigError(f"channels must be multiples of 8, not {self.channels}")
        shrink = 2 ** (len(self.channels) - 1)
        if self.horizon % shrink:
            raise ConfigError(
                f"horizon must be a multiple of {shrink} for {len(self.channels)} channels, not {self.horizon}"
            )
        if self.step_dim < 4 or self.step_dim % 2:
            raise ConfigError(f"step_dim must be even and at least 4, not {self.step_dim}")
        if not 1 <= self.num_inference_steps <= self.num_train_timesteps:
            raise ConfigError(
                f"num_inference_steps must lie in 1..num_train_timesteps ({self.num_train_timesteps}), "
                f"not {self.num_inference_steps}"
            )
