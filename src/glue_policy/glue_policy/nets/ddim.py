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


@dataclass(frozen=True, eq=False)
class Guide:
    """What a chunk is drawn to while it is sampled, in the units of the chunk.

    Attributes:
        action: The known chunk.
        weight: 0: as if there were no guide; 1: the result is the known chunk there.
    """

    action: Float[Tensor, "b h a"]
    weight: Float[Tensor, "b h 1"]


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
        self.prediction = prediction
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

    def sample_guided(
        self, model: NoiseModel, noise: Float[Tensor, "b h a"], num_inference_steps: int, guide: Guide
    ) -> Float[Tensor, "b h a"]:
        """Return chunks in [-1, 1] that go on from a known one; see `guided`.

        With weights of 0 the result is that of `sample` but for the rounding.
        """
        x = noise
        for numbers in self.coefficients(num_inference_steps):
            step = torch.full((noise.shape[0],), numbers.timestep, device=noise.device)
            signal, spread = numbers.sqrt_alpha, numbers.sqrt_one_minus_alpha
            predicted = model(x, step)
            if self.prediction is Prediction.EPSILON:
                said_noise, clean = predicted, (x - spread * predicted) / signal
            else:
                said_noise, clean = (x - signal * predicted) / spread, predicted
            clean, said_noise = guided(x, clean.clamp(-1.0, 1.0), said_noise, signal, spread, guide)
            x = numbers.sqrt_previous_alpha * clean + numbers.sqrt_one_minus_previous_alpha * said_noise
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


def guided(
    x: Float[Tensor, "*b h a"],
    clean: Float[Tensor, "*b h a"],
    noise: Float[Tensor, "*b h a"],
    signal: float | Tensor,
    spread: float | Tensor,
    guide: Guide,
) -> tuple[Float[Tensor, "*b h a"], Float[Tensor, "*b h a"]]:
    """Return a step's clean chunk and noise, drawn to a known chunk.

    Where the weight is 1 the step is that of a network that knows the answer: the clean chunk is the known one, the
    noise whatever of x is not. Between 0 and 1 it is the mean of that and of what the network says. Real-time
    chunking takes a gradient through a flow model instead; for a deterministic sampler this needs no gradient, which
    an engine without autograd does not have.
    """
    known_noise = (x - signal * guide.action) / spread
    return torch.lerp(clean, guide.action, guide.weight), torch.lerp(noise, known_noise, guide.weight)
