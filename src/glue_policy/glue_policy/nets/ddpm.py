"""DDPM sampling by diffusers: the diffusion process backwards, with new noise in every step."""

from __future__ import annotations

import hashlib

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from jaxtyping import Float
from torch import Tensor

from glue_policy.nets.ddim import DdimSampler, NoiseModel
from glue_policy.policies.configuration import Prediction


class DdpmSampler(DdimSampler):
    """Ho et al. 2020, on the schedule of `DdimSampler`; the variance is Diffusion Policy's `fixed_small`.

    The noise of the later steps is drawn from generators seeded by the first noise, one per chunk: so a chunk is a
    function of its condition and first noise alone, whatever else is in the batch, as with DDIM.

    Args:
        num_train_timesteps: Steps of the diffusion process.
        prediction: What the network predicts.
    """

    def __init__(self, num_train_timesteps: int, prediction: Prediction = Prediction.EPSILON) -> None:
        super().__init__(num_train_timesteps, prediction)
        self._backwards = DDPMScheduler(
            num_train_timesteps=num_train_timesteps,
            beta_schedule="squaredcos_cap_v2",
            prediction_type=prediction.value,
            variance_type="fixed_small",
            clip_sample=True,
        )

    def sample(
        self, model: NoiseModel, noise: Float[Tensor, "b h a"], num_inference_steps: int
    ) -> Float[Tensor, "b h a"]:
        """Return chunks in [-1, 1] from Gaussian noise."""
        self._backwards.set_timesteps(num_inference_steps)
        generators = [_generator_of(one) for one in noise]
        x = noise
        for timestep in self._backwards.timesteps:
            step = torch.full((noise.shape[0],), int(timestep), device=noise.device)
            x = self._backwards.step(model(x, step), int(timestep), x, generator=generators).prev_sample
        return x


def _generator_of(noise: Float[Tensor, "h a"]) -> torch.Generator:
    digest = hashlib.sha256(noise.detach().cpu().numpy().tobytes()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
