"""A policy compiled by OpenVINO, with what need not be computed left out."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glue_perception.errors import ConfigError
from glue_policy.engines.base import PolicyEncode, PolicyEngine
from glue_policy.engines.config import EngineConfig, Precision
from glue_policy.engines.openvino_graph import Graph, compile_graph, compile_loop
from glue_policy.engines.quartered import CellFeatures, FusedCondition, GlobalTokens, QuarteredEncoder
from glue_policy.engines.rearranged import GuidedDenoisingStep, RearrangedSampler
from glue_policy.nets.ddim import Guide
from glue_policy.policies.base import ACTION_DIM, Batch, Policy
from glue_policy.policies.diffusion import DiffusionPolicy
from glue_policy.policies.glue.modeling_glue import GluePolicy


class OpenVinoEngine(PolicyEngine):
    """Any policy; GLUE quarter by quarter (`QuarteredEncoder`), a U-Net as one loop (`RearrangedSampler`).

    Takes some seconds to build. Then a step is at most six calls that need no Python inside.

    Args:
        policy: In evaluation mode; its weights are copied into the graphs.
        num_key_patches: Of every observation; a policy that needs no key-patches ignores it.
        num_inference_steps: Of `Policy.sample`.
        config: See `EngineConfig`.
        threads: Of the graphs.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """

    def __init__(
        self,
        policy: Policy,
        num_key_patches: int,
        num_inference_steps: int,
        config: EngineConfig,
        threads: int,
    ) -> None:
        super().__init__()
        self._policy, self._num_inference_steps, self._threads = policy, num_inference_steps, threads
        self._precision = config.precision
        self._keys = tuple(sorted(policy.needs))
        self._quarters: QuarteredEncoder | None = None
        example = policy.example_observation(num_key_patches)
        if isinstance(policy, GluePolicy):
            self._quarters = self._quartered(policy, example, config, threads)
        else:
            values = tuple(example[key] for key in self._keys)
            self._whole = compile_graph(PolicyEncode(policy, self._keys), values, config.precision, threads)
        self._sampler = _sampler(policy, num_inference_steps, threads, config.precision)

    @property
    def encoded_quarters(self) -> int | None:
        """How many quarters of the last observation were encoded; None for a policy without them."""
        return None if self._quarters is None else self._quarters.encoded_quarters

    def encode(self, observation: Batch) -> Float[Tensor, "1 w"]:
        """Return the condition vector of an observation (physical units)."""
        if self._quarters is not None:
            return self._quarters.encode(observation, self.parts)
        with self.parts.measure("encoder"):
            return self._whole(*(observation[key] for key in self._keys))

    def sample(
        self,
        condition: Float[Tensor, "1 w"],
        noise: Float[Tensor, "1 horizon 10"],
        guide: Guide | None = None,
    ) -> Float[Tensor, "1 horizon 10"]:
        """Return the action chunk in physical units; see `PolicyEngine.sample`."""
        action_range = self._policy.action_range
        with self.parts.measure("head"), torch.no_grad():
            if guide is None:
                return action_range.restore(self._sampler(condition, noise[0])[None])
            known = action_range.normalise(guide.action)[0]
            carried = torch.cat([noise[0], known, guide.weight[0]], dim=1)
            return action_range.restore(self._guided_sampler(condition, carried)[None, :, :ACTION_DIM])

    @cached_property
    def _guided_sampler(self) -> Graph:
        with torch.inference_mode(False):
            return _sampler(
                self._policy, self._num_inference_steps, self._threads, self._precision, is_guided=True
            )

    def _quartered(
        self, policy: GluePolicy, example: Batch, config: EngineConfig, threads: int
    ) -> QuarteredEncoder:
        image, row_col = example["image"], example["row_col"]
        half = image.shape[-1] // 2
        quarter, cells = (
            image[..., :half, :half].contiguous(),
            torch.zeros(row_col.shape[1], dtype=torch.int64),
        )
        dim = policy.config.encoder_dim
        with torch.no_grad():
            tokens, patch2 = GlobalTokens(policy)(image), torch.zeros(1, row_col.shape[1], dim)
        others = tuple(example[key] for key in ("row_col", "xy", "visible", "joint_position"))
        return QuarteredEncoder(
            compile_graph(GlobalTokens(policy), (image,), config.precision, threads),
            compile_graph(CellFeatures(policy), (quarter, cells), config.precision, threads),
            compile_graph(FusedCondition(policy), (tokens, patch2, *others), Precision.FLOAT32, threads),
            config.reuse_max_difference,
        )


class _Sample(nn.Module):
    """Without the batch's axis and in normalised units, as the loop."""

    def __init__(self, policy: Policy, num_inference_steps: int) -> None:
        super().__init__()
        self.policy, self.num_inference_steps = policy, num_inference_steps

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        chunk = self.policy.sample(condition, noise[None], self.num_inference_steps)
        return self.policy.action_range.normalise(chunk)[0]


def _sampler(
    policy: Policy, num_inference_steps: int, threads: int, precision: Precision, is_guided: bool = False
) -> Graph:
    """Return (condition [1 w], noise [horizon 10]) -> normalised chunk [horizon 10].

    The guided one takes and gives [horizon 21], see `GuidedDenoisingStep`. Of the precisions only int8 makes a
    difference, see `compile_loop`.

    Raises:
        ConfigError: guided, but the policy takes no guide.
    """
    if is_guided and not policy.takes_guide:
        raise ConfigError(f"policy {policy.name} cannot go on from a known chunk")
    condition, noise = torch.zeros(1, policy.condition_dim), torch.zeros(policy.config.horizon, ACTION_DIM)
    if not isinstance(policy, DiffusionPolicy):
        return compile_graph(
            _Sample(policy, num_inference_steps), (condition, noise), Precision.FLOAT32, threads
        )
    parts = RearrangedSampler(policy, num_inference_steps).eval()
    if is_guided:
        carried = torch.cat([noise, noise, noise[:, :1]], dim=1)
        step = GuidedDenoisingStep(parts.step)
        return compile_loop(parts.films, step, condition, carried, parts.coefficients, threads, precision)
    return compile_loop(parts.films, parts.step, condition, noise, parts.coefficients, threads, precision)
