"""A diffusion policy's sampling, rearranged so that no work is done twice.

The result is the policy's own but for the rounding of float32 (tested):

- The diffusion step's embedding and its share of every FiLM layer depend on the schedule alone: constants.
- The condition's share of every FiLM layer is the same in all steps: computed once per chunk instead of ten times.
- A convolution over a handful of actions is a product of the gathered neighbours with the weights. What a pass costs
  is reading its weights, and as matrices these can be read as int8.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from glue_policy.nets.ddim import Guide, guided
from glue_policy.nets.unet1d import ConditionalUnet1d, ConvBlock, FilmResidual, Level
from glue_policy.policies.base import ACTION_DIM
from glue_policy.policies.configuration import Prediction
from glue_policy.policies.diffusion import DiffusionPolicy


class _Convolution(nn.Module):
    """A Conv1d as one matrix product, for tensors [length channels]."""

    def __init__(self, source: nn.Conv1d) -> None:
        super().__init__()
        self.size, self.stride, self.padding = source.kernel_size[0], source.stride[0], int(source.padding[0])
        # [out, in, k] to [out, k * in]: the neighbours stand one after the other.
        self.weight = nn.Parameter(source.weight.detach().transpose(1, 2).flatten(1).contiguous())
        self.bias = source.bias

    def forward(self, x: Float[Tensor, "l c"]) -> Float[Tensor, "m d"]:
        padded = functional.pad(x, (0, 0, self.padding, self.padding))
        count = (len(padded) - self.size) // self.stride + 1
        last = (count - 1) * self.stride + 1
        rows = torch.cat([padded[k : k + last : self.stride] for k in range(self.size)], dim=1)
        return functional.linear(rows, self.weight, self.bias)


class _Growth(nn.Module):
    """The U-Net's ConvTranspose1d (size 4, stride 2, padding 1): each input row gives two output rows."""

    def __init__(self, source: nn.ConvTranspose1d) -> None:
        super().__init__()
        # Output 2i takes inputs i - 1 and i by taps 3 and 1, output 2i + 1 takes i and i + 1 by taps 2 and 0.
        taps = source.weight.detach().permute(2, 1, 0)
        nothing = torch.zeros_like(taps[0])
        even = torch.cat([taps[3], taps[1], nothing], dim=1)
        odd = torch.cat([nothing, taps[2], taps[0]], dim=1)
        self.weight = nn.Parameter(torch.cat([even, odd]).contiguous())
        bias = torch.zeros(source.out_channels) if source.bias is None else source.bias.detach()
        self.bias = nn.Parameter(bias.repeat(2))

    def forward(self, x: Float[Tensor, "l c"]) -> Float[Tensor, "2l d"]:
        padded = functional.pad(x, (0, 0, 1, 1))
        rows = torch.cat([padded[k : k + len(x)] for k in range(3)], dim=1)
        return functional.linear(rows, self.weight, self.bias).reshape(2 * len(x), -1)


class _Block(nn.Module):
    """Convolution, group norm and Mish, for tensors [length channels]."""

    def __init__(self, source: ConvBlock) -> None:
        super().__init__()
        self.convolution = _Convolution(cast(nn.Conv1d, source[0]))
        self.norm = cast(nn.GroupNorm, source[1])

    def forward(self, x: Float[Tensor, "l c"]) -> Float[Tensor, "l d"]:
        # Written out, since OpenVINO knows group norm outside of loops only.
        y = self.convolution(x).unflatten(1, (self.norm.num_groups, -1))
        centred = y - y.mean(dim=(0, 2), keepdim=True)
        variance = centred.square().mean(dim=(0, 2), keepdim=True)
        normal = (centred / (variance + self.norm.eps).sqrt()).flatten(1)
        return functional.mish(normal * self.norm.weight + self.norm.bias)


class _Residual(nn.Module):
    def __init__(self, source: FilmResidual, start: int) -> None:
        super().__init__()
        self.first, self.second = _Block(source.first), _Block(source.second)
        self.start, self.width = start, film_layer(source).out_features // 2
        self.skip = _Convolution(source.skip) if isinstance(source.skip, nn.Conv1d) else nn.Identity()

    def forward(self, x: Float[Tensor, "l c"], film: Float[Tensor, "1 f"]) -> Float[Tensor, "l d"]:
        middle = self.start + self.width
        scale, shift = film[:, self.start : middle], film[:, middle : middle + self.width]
        out: Tensor = self.second(self.first(x) * (1.0 + scale) + shift) + self.skip(x)
        return out


class _Level(nn.Module):
    def __init__(self, first: _Residual, second: _Residual) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Float[Tensor, "l c"], film: Float[Tensor, "1 f"]) -> Float[Tensor, "l d"]:
        out: Tensor = self.second(self.first(x, film), film)
        return out


class FilmTable(nn.Module):
    """Scales and shifts of every FiLM layer in every step, side by side, for one condition.

    Args:
        unet: Whose layers, in the order of `residuals_of`.
        timesteps: Of the steps.
    """

    step_share: Tensor

    def __init__(self, unet: ConditionalUnet1d, timesteps: list[int]) -> None:
        super().__init__()
        layers = [film_layer(residual) for residual in residuals_of(unet)]
        weight = torch.cat([layer.weight for layer in layers]).detach()
        bias = torch.cat([layer.bias for layer in layers]).detach()
        with torch.no_grad():
            embedding = functional.mish(unet.step_embedding(torch.tensor(timesteps)))
            width = embedding.shape[1]
            self.register_buffer("step_share", functional.linear(embedding, weight[:, :width], bias))
        self.weight = nn.Parameter(weight[:, width:].contiguous())

    def forward(self, condition: Float[Tensor, "1 w"]) -> Float[Tensor, "s f"]:
        """Return one row per step."""
        return self.step_share + functional.linear(functional.mish(condition), self.weight)


class DenoisingStep(nn.Module):
    """One DDIM step of one chunk.

    Args:
        unet: The denoising network.
        prediction: What it predicts.
    """

    def __init__(self, unet: ConditionalUnet1d, prediction: Prediction) -> None:
        super().__init__()
        self.prediction = prediction
        start, starts = 0, []
        for residual in residuals_of(unet):
            starts.append(start)
            start += film_layer(residual).out_features
        blocks = iter([_Residual(r, s) for r, s in zip(residuals_of(unet), starts, strict=True)])

        def level() -> _Level:
            return _Level(next(blocks), next(blocks))

        self.down = nn.ModuleList(level() for _ in unet.down)
        self.middle = level()
        self.up = nn.ModuleList(level() for _ in unet.up)
        self.shrink = nn.ModuleList(_Convolution(cast(nn.Conv1d, source)) for source in unet.shrink)
        self.grow = nn.ModuleList(_Growth(cast(nn.ConvTranspose1d, source)) for source in unet.grow)
        self.last = _Block(cast(ConvBlock, unet.last[0]))
        self.out = _Convolution(cast(nn.Conv1d, unet.last[1]))

    def forward(
        self,
        x: Float[Tensor, "l a"],
        film: Float[Tensor, "1 f"],
        coefficients: Float[Tensor, "1 4"],
        guide: Guide | None = None,
    ) -> Float[Tensor, "l a"]:
        """Return the chunk after the step; `coefficients` are the numbers of `DdimCoefficients` but for the first."""
        signal, spread, next_signal, next_spread = (coefficients[:, k : k + 1] for k in range(4))
        predicted = self._predict(x, film)
        if self.prediction is Prediction.EPSILON:
            noise, clean = predicted, (x - spread * predicted) / signal
        else:
            noise, clean = (x - signal * predicted) / spread, predicted
        clean = clean.clamp(-1.0, 1.0)
        if guide is not None:
            clean, noise = guided(x, clean, noise, signal, spread, guide)
        return next_signal * clean + next_spread * noise

    def _predict(self, x: Float[Tensor, "l a"], film: Float[Tensor, "1 f"]) -> Float[Tensor, "l a"]:
        skips: list[Tensor] = []
        for index, level in enumerate(self.down):
            x = level(x, film)
            skips.append(x)
            if index < len(self.shrink):
                x = self.shrink[index](x)
        x = self.middle(x, film)
        for level, grow in zip(self.up, self.grow, strict=True):
            x = grow(level(torch.cat([x, skips.pop()], dim=1), film))
        out: Tensor = self.out(self.last(x))
        return out


class GuidedDenoisingStep(nn.Module):
    """One DDIM step of one chunk that is drawn to a known one.

    What is carried from step to step is chunk, known chunk and weight side by side, of which only the first changes.

    Args:
        step: Without a guide.
    """

    def __init__(self, step: DenoisingStep) -> None:
        super().__init__()
        self.step = step

    def forward(
        self,
        carried: Float[Tensor, "l 2a+1"],
        film: Float[Tensor, "1 f"],
        coefficients: Float[Tensor, "1 4"],
    ) -> Float[Tensor, "l 2a+1"]:
        """Return what is carried after the step."""
        x, known, weight = carried[:, :ACTION_DIM], carried[:, ACTION_DIM:-1], carried[:, -1:]
        return torch.cat([self.step(x, film, coefficients, Guide(known, weight)), known, weight], dim=1)


class RearrangedSampler(nn.Module):
    """`DiffusionPolicy.sample` for one observation, in -1..1: a table of FiLM values, then equal steps.

    Args:
        policy: With the scheduler DDIM.
        num_inference_steps: DDIM steps.
    """

    coefficients: Tensor

    def __init__(self, policy: DiffusionPolicy, num_inference_steps: int) -> None:
        super().__init__()
        rows = policy.diffusion.coefficients(num_inference_steps)
        self.films = FilmTable(policy.unet, [row.timestep for row in rows])
        self.step = DenoisingStep(policy.unet, policy.config.prediction)
        numbers = [
            (r.sqrt_alpha, r.sqrt_one_minus_alpha, r.sqrt_previous_alpha, r.sqrt_one_minus_previous_alpha)
            for r in rows
        ]
        self.register_buffer("coefficients", torch.tensor(numbers))

    def forward(
        self, condition: Float[Tensor, "1 w"], noise: Float[Tensor, "1 horizon 10"]
    ) -> Float[Tensor, "1 horizon 10"]:
        """Return the normalised action chunk."""
        films, x = self.films(condition), noise[0]
        for index in range(len(films)):
            x = self.step(x, films[index : index + 1], self.coefficients[index : index + 1])
        return x[None]


def residuals_of(unet: ConditionalUnet1d) -> list[FilmResidual]:
    """Return the FiLM layers in the order in which a pass meets them."""
    levels = cast(list[Level], [*unet.down, unet.middle, *unet.up])
    return [residual for level in levels for residual in (level.first, level.second)]


def film_layer(residual: FilmResidual) -> nn.Linear:
    """Return the layer that makes scales and shifts of the condition."""
    return cast(nn.Linear, residual.film[1])
