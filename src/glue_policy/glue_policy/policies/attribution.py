"""What a policy looks at: attention between global tokens and key-patches, and what its answer depends on.

Attention shows where the network may take information from, saliency what its answer depends on to first order, and
hiding a key-patch what really changes without it. None of them is a reason for what the arm does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from glue_perception.errors import ConfigError
from glue_policy.nets.fusion import FusedEncoding
from glue_policy.policies.base import KEY_PATCH_KEYS, Batch, Policy

NOISE_SHARE = 0.02
"""Of the image's range 0..255. The gradient at one image is ragged; its mean over slightly noisy copies shows the
same places with less grain (SmoothGrad, Smilkov et al. 2017)."""


class SaliencyTarget(StrEnum):
    """Whose dependence on the image is shown: the `condition` vector's, or the predicted `action` chunk's."""

    CONDITION = "condition"
    ACTION = "action"


@runtime_checkable
class AttendsToKeyPatches(Protocol):
    """A policy whose global tokens attend to key-patches."""

    def fuse(self, observation: Batch) -> FusedEncoding:
        """Return condition and attention."""
        ...


@dataclass(frozen=True, eq=False)
class Attribution:
    """What one observation's answer came from.

    Attributes:
        attention: Weight of each key-patch for each global token (14 x 14, row by row), mean over heads; every row
            sums to one. None for a policy without key-patches.
        saliency: How strongly the answer depends on each pixel of the policy's image; sums to one. A frozen local
            encoder gives no gradient, so the looks of the key-patches have no part in it.
        displacement_m: How far the predicted positions move, mean over the chunk, when this one key-patch is hidden;
            last: when all are. None for a policy without key-patches.
    """

    attention: Float[np.ndarray, "196 n"] | None
    saliency: Float[np.ndarray, "s s"]
    displacement_m: Float[np.ndarray, "n+1"] | None


class Attributor:
    """Computes attributions. Works for every policy that takes an image. One thread.

    The saliency of a pixel is the norm of the target's gradient by it: the root of the sum, over all numbers of the
    target and the three colours, of the squared derivatives. The sum over the target's numbers is estimated by
    `probes` random signs each (Hutchinson's estimator), which takes one backward pass instead of one per number.

    Args:
        policy: Set to evaluation mode.
        target: See `SaliencyTarget`.
        probes: Noisy copies of the image, each with signs of its own.
        seed: Of copies, signs and the actions' noise; the same for every observation, so that a video is steady.

        torch_threads: Threads of the network; set for the thread that calls `explain`.

    Raises:
        ConfigError: no probes, or a policy that takes no image.
    """

    def __init__(
        self,
        policy: Policy,
        target: SaliencyTarget = SaliencyTarget.CONDITION,
        probes: int = 8,
        seed: int = 0,
        torch_threads: int = 1,
    ) -> None:
        if probes < 1:
            raise ConfigError(f"probes must be at least 1, not {probes}")
        if "image" not in policy.needs:
            raise ConfigError(f"policy {policy.name} takes no image, so there is nothing to show")
        self._policy = policy.eval()
        self._target = target
        self._probes = probes
        self._seed = seed
        self._torch_threads = torch_threads

    def explain(self, observation: Batch) -> Attribution:
        """Return the attribution of one observation (a batch of one), which is not changed."""
        if torch.get_num_threads() != self._torch_threads:
            torch.set_num_threads(self._torch_threads)
        return Attribution(
            self._attention(observation), self._saliency(observation), self._displacement(observation)
        )

    def _attention(self, observation: Batch) -> Float[np.ndarray, "196 n"] | None:
        if not isinstance(self._policy, AttendsToKeyPatches):
            return None
        with torch.no_grad():
            weights: np.ndarray = self._policy.fuse(observation).attention[0].float().numpy()
        return weights

    def _displacement(self, observation: Batch) -> Float[np.ndarray, "n+1"] | None:
        if not self._policy.needs >= KEY_PATCH_KEYS:
            return None
        count = observation["visible"].shape[1]
        # Row 0 as seen, then each one hidden, then all.
        hide = torch.cat([torch.zeros(1, count), torch.eye(count), torch.ones(1, count)]).bool()
        batch = {k: v.expand(len(hide), *v.shape[1:]) for k, v in observation.items()}
        batch["visible"] = batch["visible"] & ~hide
        generator = torch.Generator().manual_seed(self._seed)
        with torch.no_grad():
            noise = self._policy.draw_noise(1, generator).expand(len(hide), -1, -1)
            position_m = self._policy.sample(self._policy.encode(batch), noise)[..., :3]
        moved: np.ndarray = (position_m[1:] - position_m[:1]).norm(dim=-1).mean(dim=1).double().numpy()
        return moved

    def _saliency(self, observation: Batch) -> Float[np.ndarray, "s s"]:
        generator = torch.Generator().manual_seed(self._seed)
        copies = {k: v.expand(self._probes, *v.shape[1:]) for k, v in observation.items()}
        image = copies["image"].float()
        image = image + 255.0 * NOISE_SHARE * torch.randn(image.shape, generator=generator)
        image.requires_grad_(True)
        with torch.enable_grad():
            answer = self._answer({**copies, "image": image}, generator).flatten(1)
            signs = torch.randint(0, 2, answer.shape, generator=generator) * 2.0 - 1.0
            (gradient,) = torch.autograd.grad((answer * signs).sum(), image)
        strength = gradient.square().sum(dim=1).mean(dim=0).sqrt().double()
        total = strength.sum()
        saliency: np.ndarray = (strength / total if total > 0 else strength).numpy()
        return saliency

    def _answer(self, observation: Batch, generator: torch.Generator) -> Tensor:
        policy = self._policy
        condition = policy.encode(observation)
        if self._target is SaliencyTarget.CONDITION:
            return condition
        noise = policy.draw_noise(1, generator).expand(len(condition), -1, -1)
        # In units of the demonstrations' range, so that metres and rotations count alike.
        normal: Tensor = policy.action_range.normalise(policy.sample(condition, noise))
        return normal
