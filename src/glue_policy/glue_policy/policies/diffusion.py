"""Diffusion Policy's action head, which GLUE, GLUE-S, DP and DP3 share: U-Net, noise schedule, loss, sampling."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from glue_perception.errors import ConfigError
from glue_policy.nets.ddim import DdimSampler
from glue_policy.nets.unet1d import ConditionalUnet1d
from glue_policy.policies.base import ACTION_DIM, Batch, Policy
from glue_policy.policies.configuration import DiffusionConfig, Prediction

NOISE_DRAWS = 4
"""Noise and step draws per encoded observation in training. The encoder is most of a step's cost and the loss of one
draw is mostly noise, so several draws per encoding learn more for the same time."""


class DiffusionPolicy(Policy):
    """A policy whose condition steers a 1-D U-Net that takes the noise out of an action chunk.

    A sub-class builds its encoders, then calls `_build_head`, and implements `_encode`.

    Args:
        config: Architecture.
        weights: See `Policy`.
    """

    config: DiffusionConfig

    def __init__(self, config: DiffusionConfig, weights: Path | None = None) -> None:
        super().__init__(config, weights)
        self.diffusion = DdimSampler(config.num_train_timesteps, config.prediction)

    def _build_head(self) -> None:
        config = self.config
        self.unet = ConditionalUnet1d(ACTION_DIM, self.condition_dim, config.channels, config.step_dim)

    def inference_steps(self, requested: int | None) -> int:
        """Return the number of DDIM steps; None asks for the policy's own.

        Raises:
            ConfigError: more steps than the policy was trained with, or fewer than one.
        """
        steps = self.config.num_inference_steps if requested is None else requested
        if not 1 <= steps <= self.config.num_train_timesteps:
            raise ConfigError(
                f"num_inference_steps must lie in 1..{self.config.num_train_timesteps} for this policy, not {steps}"
            )
        return steps

    def sample(
        self,
        condition: Float[Tensor, "b w"],
        noise: Float[Tensor, "b horizon 10"],
        num_inference_steps: int | None = None,
    ) -> Float[Tensor, "b horizon 10"]:
        """Return action chunks in physical units by DDIM.

        Raises:
            ConfigError: see `inference_steps`.
        """
        chunk = self.diffusion.sample(
            lambda noisy, step: self.unet(noisy, step, condition),
            noise,
            self.inference_steps(num_inference_steps),
        )
        return self.action_range.restore(chunk)

    def _loss(self, batch: Batch, generator: torch.Generator | None) -> Float[Tensor, ""]:
        """Return the mean squared error over valid actions of the predicted noise (paper, eq. 5), or chunk."""
        observation = {key: value for key, value in batch.items() if key in self.needs | self.welcomes}
        condition = self._encode_in_training(observation, generator).float()
        condition = condition.repeat_interleave(NOISE_DRAWS, dim=0)
        clean = self.action_range.normalise(batch["action"]).repeat_interleave(NOISE_DRAWS, dim=0)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        step = torch.randint(self.diffusion.num_train_timesteps, (len(clean),), generator=generator)
        step = step.to(clean.device)
        predicted = self.unet(self.diffusion.add_noise(clean, noise, step), step, condition)
        valid = batch["action_valid"].repeat_interleave(NOISE_DRAWS, dim=0).unsqueeze(-1).float()
        target = noise if self.config.prediction is Prediction.EPSILON else clean
        squared = (predicted.float() - target).square() * valid
        loss: Tensor = squared.sum() / (valid.sum() * ACTION_DIM).clamp_min(1.0)
        return loss

    def _encode_in_training(
        self, observation: Batch, generator: torch.Generator | None
    ) -> Float[Tensor, "b w"]:
        """Return the condition of observations in training, where a sub-class may change them at random."""
        return self._encode(observation)
