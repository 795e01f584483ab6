"""The diffusion process around the U-Net: noise for training, DDIM for sampling, both by diffusers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float, Int
from torch import Tensor

from glue_policy.policies.configuration import Prediction


@dataclass(frozen=True)
class DdimCoefficients:
    """What one DDIM step multiplies by, as float32 numbers.

    Attributes:
        timestep: Of the diffusion process, which the network is told.
        sqrt_alpha: Share of the clean chunk before the step.
        sqrt_one_minus_alpha: Share of the noise before it.
        sqrt_previous_alpha: Share of the clean chunk after it (the process's previous step).
        sqrt_one_minus_previous_alpha: Share of the noise after it.
    """

    timestep: int
    sqrt_alpha: float
    sqrt_one_minus_alpha: float
    sqrt_previous_alpha: float
    sqrt_one_minus_previous_alpha: float


NoiseModel = Callable[[Tensor, Tensor], Tensor]
"""(noisy [b h a], step [b]) -> predicted noise, or predicted chunk, [b h a]."""


class DdimSampler:
    """Squared-cosine schedule, deterministic DDIM (Song et al. 2021).

    The schedule, 100 training steps and clipping to [-1, 1] are Diffusion Policy's real-robot settings; the paper
    names DDIM only (III-C).

    Args:
        num_train_timesteps: Steps of the diffusion process.
        prediction: What the network predicts.
    """

    def __init__(self, num_train_timesteps: int, prediction: Prediction = Prediction.EPSILON) -> None:
        self.num_train_timesteps = num_train_timesteps
        self._scheduler = DDIMScheduler(
            num_train_timesteps=num_train_timesteps,
            beta_schedule="squaredcos_cap_v2",
            prediction_type=prediction.value,
            clip_sample=True,
            set_alpha_to_one=True,
            steps_offset=0,
        )

    def add_noise(
        self, clean: Float[Tensor, "b h a"], noise: Float[Tensor, "b h a"], step: Int[Tensor, "b"]
    ) -> Float[Tensor, "b h a"]:
        """Return the chunk at diffusion step `step`."""
        noisy: Tensor = self._scheduler.add_noise(clean, noise, step)
        return noisy

    def sample(
        self, model: NoiseModel, noise: Float[Tensor, "b h a"], num_inference_steps: int
    ) -> Float[Tensor, "b h a"]:
        """Return chunks in [-1, 1] from Gaussian noise."""
        self._scheduler.set_timesteps(num_inference_steps)
        x = noise
        for timestep in self._scheduler.timesteps:
            step = torch.full((noise.shape[0],), int(timestep), device=noise.device)
            x = self._scheduler.step(model(x, step), int(timestep), x, eta=0.0).prev_sample
        return x

    def coefficients(self, num_inference_steps: int) -> tuple[DdimCoefficients, ...]:
        """Return what each step of `sample` multiplies by, so that a step needs no look-up in the schedule.

        With `clean = clip((x - sqrt_one_minus_alpha * noise) / sqrt_alpha, -1, 1)`, the step gives
        `sqrt_previous_alpha * clean + sqrt_one_minus_previous_alpha * noise` (Song et al. 2021, eq. 12 with sigma 0).
        """
        self._scheduler.set_timesteps(num_inference_steps)
        stride = self.num_train_timesteps // num_inference_steps
        found = []
        for timestep in self._scheduler.timesteps.tolist():
            alpha = self._scheduler.alphas_cumprod[timestep]
            before = timestep - stride
            previous = (
                self._scheduler.alphas_cumprod[before] if before >= 0 else self._scheduler.final_alpha_cumprod
            )
            found.append(
                DdimCoefficients(
                    timestep,
                    float(alpha**0.5),
                    float((1 - alpha) ** 0.5),
                    float(previous**0.5),
                    float((1 - previous) ** 0.5),
                )
            )
        return tuple(found)
